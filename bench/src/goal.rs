//! Goals: what was wanted, what was measured, and whether that is enough.

/// Which way a goal is met.
#[derive(Debug, Clone, Copy)]
pub enum Bound {
    /// Not less.
    AtLeast(f64),
    /// Not more.
    AtMost(f64),
    /// Less.
    Below(f64),
}

/// One of them.
#[derive(Debug, Clone)]
pub struct Goal {
    /// What it is about.
    pub what: String,
    /// What is wanted.
    pub bound: Bound,
    /// Of both figures.
    pub unit: &'static str,
    /// Digits after the point that are printed.
    pub digits: usize,
    /// None where it was not measured.
    pub measured: Option<f64>,
}

impl Goal {
    /// As it is printed, so that the word and the figure never disagree.
    fn met(&self) -> Option<bool> {
        let scale = 10_f64.powi(i32::try_from(self.digits).unwrap_or_default());
        let measured = (self.measured? * scale).round() / scale;
        Some(match self.bound {
            Bound::AtLeast(bound) => measured >= bound,
            Bound::AtMost(bound) => measured <= bound,
            Bound::Below(bound) => measured < bound,
        })
    }

    fn row(&self) -> String {
        let (sign, bound) = match self.bound {
            Bound::AtLeast(bound) => (">=", bound),
            Bound::AtMost(bound) => ("<=", bound),
            Bound::Below(bound) => ("<", bound),
        };
        let goal = format!("{sign} {bound} {}", self.unit);
        let measured = self.measured.map_or("not measured".to_owned(), |value| {
            format!("{value:.*} {}", self.digits, self.unit)
        });
        let met = match self.met() {
            Some(true) => "yes",
            Some(false) => "NO",
            None => "-",
        };
        format!(
            "  {:<40} {:<12} {:<14} {met}",
            self.what,
            goal.trim_end(),
            measured.trim_end()
        )
    }
}

/// A line of heads, then one for each.
pub fn table(goals: &[Goal]) -> Vec<String> {
    let head = format!("  {:<40} {:<12} {:<14} met", "", "goal", "measured");
    std::iter::once(head)
        .chain(goals.iter().map(Goal::row))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_is_judged_by_the_figure_that_is_printed() {
        let mut goal = Goal {
            what: String::new(),
            bound: Bound::AtMost(0.05),
            unit: "",
            digits: 3,
            measured: Some(0.0504),
        };
        assert_eq!(goal.met(), Some(true));
        goal.measured = Some(0.0506);
        assert_eq!(goal.met(), Some(false));
    }
}
