#![allow(clippy::unwrap_used)]
use proptest::prelude::*;

use super::*;

const IDLE: u64 = 300;
const EVERY: u64 = 30;
const LIMIT: u32 = 3;

/// A judge, and seconds as its clock.
struct Scene {
    judge: Judge,
    start: Instant,
}

impl Scene {
    fn new() -> Self {
        let start = Instant::now();
        let rules = Rules {
            idle: Duration::from_secs(IDLE),
            unanswered: LIMIT,
            given: Duration::from_secs(IDLE),
            canary_every: Duration::from_secs(EVERY),
            agent: "http://localhost:9000/".to_owned(),
        };
        let judge = Judge::new(rules, start);
        Self { judge, start }
    }

    fn at(&self, second: u64) -> Instant {
        self.start + Duration::from_secs(second)
    }

    fn silent(&mut self, second: u64) -> Option<News> {
        self.canary(&Canary::Silent("no answer within 10 s".to_owned()), second)
    }

    /// As the sidecar sends them: only those that are wanted.
    fn canary(&mut self, canary: &Canary, second: u64) -> Option<News> {
        let now = self.at(second);
        let is_wanted = self.judge.wants_canary(now);
        is_wanted.then(|| self.judge.canary(canary, now)).flatten()
    }

    fn refused(&mut self, second: u64) -> Option<News> {
        self.canary(&Canary::Refused, second)
    }

    fn answered(&mut self, second: u64) -> Option<News> {
        self.canary(&Canary::Answered, second)
    }

    fn begin(&mut self, second: u64) {
        self.judge.begun(self.at(second));
    }

    fn end(&mut self, began: u64, end: End, second: u64) -> Option<News> {
        self.judge.ended(self.at(began), end, self.at(second))
    }

    /// So many messages, each of which runs into its idle timeout.
    fn unanswered(&mut self, messages: u32, from: u64) -> Option<News> {
        let mut news = None;
        for n in 0..u64::from(messages) {
            let began = from + n * (IDLE + 1);
            self.begin(began);
            news = self.end(began, End::Unanswered, began + IDLE);
        }
        news
    }
}

fn reason(news: Option<News>) -> String {
    match news {
        Some(News::Wedged(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn two_canaries_without_an_answer_are_a_wedge_and_one_answer_ends_it() {
    let mut scene = Scene::new();
    assert_eq!(scene.answered(0), None);
    assert_eq!(scene.silent(40), None);
    assert_eq!(scene.answered(60), None, "one was bad luck");
    assert_eq!(scene.silent(100), None);
    assert_eq!(
        reason(scene.silent(130)),
        "no answer from the agent for 70 s: 2 requests in a row for its card failed, \
         the last one: no answer within 10 s"
    );
    assert_eq!(scene.silent(160), None, "said once");
    assert_eq!(scene.answered(190), Some(News::Answers));
    assert_eq!(scene.silent(220), None, "counted from the beginning");
}

#[test]
fn nobody_who_listens_is_a_wedge_even_in_the_middle_of_a_message() {
    let mut scene = Scene::new();
    scene.answered(0);
    scene.begin(10);
    assert_eq!(scene.refused(30), None);
    assert_eq!(
        reason(scene.refused(60)),
        "nobody listens at http://localhost:9000/: no answer from the agent for 60 s"
    );
    assert_eq!(scene.answered(90), Some(News::Answers));
}

#[test]
fn who_said_that_it_works_on_and_is_gone_is_wedged_at_the_second_refusal() {
    let mut scene = Scene::new();
    scene.begin(0);
    assert_eq!(scene.end(0, End::Working, 1), Some(News::Answers));
    assert_eq!(scene.refused(30), None);
    assert!(reason(scene.refused(60)).starts_with("nobody listens at "));

    // One that was left waiting by an agent at work says nothing of its listener.
    let mut scene = Scene::new();
    scene.begin(0);
    assert_eq!(scene.end(0, End::Working, 1), Some(News::Answers));
    assert_eq!(scene.silent(30), None);
    scene.begin(40);
    assert_eq!(scene.end(40, End::Refused, 40), None);
    assert!(scene.judge.wants_canary(scene.at(60)), "it is gone");
    assert!(reason(scene.refused(60)).starts_with("nobody listens at "));
}

#[test]
fn a_burst_of_messages_that_are_refused_counts_as_one() {
    let mut scene = Scene::new();
    let refuse = |scene: &mut Scene, second: u64| {
        scene.begin(second);
        scene.end(second, End::Refused, second)
    };
    for second in [0, 1, 1, EVERY - 1] {
        assert_eq!(refuse(&mut scene, second), None);
    }
    // It was started anew.
    assert_eq!(scene.answered(EVERY), None);
    assert_eq!(refuse(&mut scene, EVERY), None);
    assert!(reason(refuse(&mut scene, 2 * EVERY)).starts_with("nobody listens at "));
    // Or with a canary between them.
    let mut scene = Scene::new();
    assert_eq!(refuse(&mut scene, 10), None);
    assert!(matches!(scene.refused(11), Some(News::Wedged(_))));
}

#[test]
fn an_agent_at_work_is_not_wedged_and_left_alone_while_its_budget_lasts() {
    let mut scene = Scene::new();
    scene.answered(0);
    scene.begin(10);
    assert!(scene.judge.wants_canary(scene.at(30)));
    assert_eq!(scene.silent(40), None);
    assert!(!scene.judge.wants_canary(scene.at(60)), "one waits already");
    assert_eq!(scene.silent(60), None);
    // It moves: the budget begins anew.
    scene.judge.moved(scene.at(250));
    assert!(scene.judge.wants_canary(scene.at(260)));
    assert_eq!(scene.silent(270), None);
    assert!(!scene.judge.wants_canary(scene.at(250 + IDLE - 1)));
    assert!(scene.judge.wants_canary(scene.at(250 + IDLE)));
    let news = scene.silent(250 + IDLE + 10);
    assert!(reason(news).starts_with("no answer from the agent for 310 s"));
}

#[test]
fn the_budget_is_that_of_the_first_message_not_of_those_that_queue_behind_it() {
    let mut scene = Scene::new();
    scene.answered(0);
    scene.begin(10);
    scene.silent(40);
    scene.begin(200);
    scene.begin(300);
    assert_eq!(scene.end(10, End::Unanswered, 310), None);
    assert!(scene.judge.wants_canary(scene.at(310)));
    assert!(matches!(scene.silent(320), Some(News::Wedged(_))));
}

#[test]
fn without_a_message_there_is_no_excuse() {
    let mut scene = Scene::new();
    scene.begin(10);
    scene.silent(30);
    // The connection broke: nothing is known, and nothing is at work.
    assert_eq!(scene.end(10, End::Unknown, 40), None);
    assert!(matches!(scene.silent(60), Some(News::Wedged(_))));
}

#[test]
fn a_task_that_goes_on_after_its_answer_is_work_for_as_long_as_one_budget() {
    let mut scene = Scene::new();
    scene.begin(0);
    assert_eq!(scene.end(0, End::Working, 1), Some(News::Answers));
    for second in [30, 60, 250] {
        assert_eq!(scene.silent(second), None);
    }
    // Signs of life do not renew it: whether the task goes on is not known for ever.
    scene.judge.moved(scene.at(280));
    assert_eq!(scene.silent(IDLE + 1), None);
    assert!(matches!(scene.silent(IDLE + 31), Some(News::Wedged(_))));
}

#[test]
fn messages_without_an_answer_are_a_wedge_that_a_card_does_not_end() {
    let mut scene = Scene::new();
    assert_eq!(scene.unanswered(LIMIT - 1, 0), None);
    scene.begin(900);
    assert_eq!(scene.end(900, End::Answered, 901), Some(News::Answers));
    assert_eq!(scene.unanswered(LIMIT - 1, 1000), None, "not in a row");
    assert_eq!(scene.answered(1700), None);
    scene.begin(1700);
    assert_eq!(
        reason(scene.end(1700, End::Unanswered, 2000)),
        "no answer from the agent for 1000 s: 3 messages in a row got none, with 300 s \
         or more for each"
    );
    assert_eq!(
        scene.answered(2030),
        None,
        "its card was answered all the time"
    );
    assert_eq!(
        scene.judge.ended_late(End::Answered, scene.at(2040)),
        Some(News::Answers)
    );
}

#[test]
fn an_agent_that_was_away_is_another_one() {
    for away in 0..3 {
        let mut scene = Scene::new();
        assert!(matches!(scene.unanswered(LIMIT, 0), Some(News::Wedged(_))));
        assert_eq!(scene.answered(1000), None);
        match away {
            0 => drop(scene.refused(1030)),
            1 => drop((scene.silent(1030), scene.silent(1060))),
            _ => drop(scene.judge.ended_late(End::Unknown, scene.at(1030))),
        }
        assert_eq!(scene.answered(1090), Some(News::Answers), "{away}");
        // Nothing is held against it.
        assert_eq!(scene.unanswered(LIMIT - 1, 1100), None);
    }
    let mut scene = Scene::new();
    scene.unanswered(LIMIT, 0);
    scene.silent(1000);
    assert_eq!(scene.answered(1030), None, "one canary proves no absence");
}

#[test]
fn while_the_wedge_stands_one_message_a_period_is_tried() {
    let mut scene = Scene::new();
    let (first, later) = (scene.at(5), scene.at(5 + EVERY));
    assert!(scene.judge.tries(first) && scene.judge.tries(first));
    scene.unanswered(LIMIT, 0);
    assert!(scene.judge.tries(first) && !scene.judge.tries(first));
    assert!(!scene.judge.tries(scene.at(4 + EVERY)));
    assert!(scene.judge.tries(later) && !scene.judge.tries(later));
}

#[derive(Debug, Clone)]
enum Step {
    Begin,
    Moved,
    End(End),
    Late(End),
    Canary(Canary),
}

fn step() -> impl Strategy<Value = Step> {
    let end = prop_oneof![
        Just(End::Answered),
        Just(End::Working),
        Just(End::Unanswered),
        Just(End::Refused),
        Just(End::Unknown)
    ];
    let canary = prop_oneof![
        Just(Canary::Answered),
        Just(Canary::Silent(String::new())),
        Just(Canary::Refused)
    ];
    prop_oneof![
        3 => Just(Step::Begin),
        1 => Just(Step::Moved),
        3 => end.clone().prop_map(Step::End),
        1 => end.prop_map(Step::Late),
        4 => canary.prop_map(Step::Canary),
    ]
}

/// What must hold, counted apart from the judge.
#[derive(Default)]
struct Seen {
    open: Vec<u64>,
    /// When the agent, with nothing to do, was given something.
    work: u64,
    unanswered: u32,
    /// Canaries that failed since the last sign of life.
    failed: u32,
    /// Connections that were refused since then, but for those of a burst.
    refused: u32,
    refused_at: u64,
    /// The last sign of life.
    alive: u64,
    working: Option<u64>,
    wedged: bool,
}

impl Seen {
    fn alive(&mut self, now: u64) {
        (self.failed, self.refused, self.alive) = (0, 0, now);
    }

    fn refused(&mut self, now: u64, is_canary: bool) {
        if is_canary || self.refused == 0 || now >= self.refused_at + EVERY {
            self.refused += 1;
            self.refused_at = now;
        }
    }
}

proptest! {
    #[test]
    fn there_is_no_wedge_without_evidence_and_none_after_an_answer(
        steps in prop::collection::vec((step(), 0_u64..200), 0..200)
    ) {
        let (mut scene, mut seen, mut now) = (Scene::new(), Seen::default(), 0);
        for (step, pause) in steps {
            now += pause;
            let at = scene.at(now);
            let has_work = !seen.open.is_empty();
            let news = match step.clone() {
                Step::Begin => {
                    seen.work = if has_work { seen.work } else { now };
                    seen.open.push(now);
                    scene.judge.begun(at);
                    None
                }
                Step::Moved => {
                    seen.alive(now);
                    scene.judge.moved(at);
                    None
                }
                Step::End(_) if seen.open.is_empty() => continue,
                Step::End(end) => {
                    let began = seen.open.remove(0);
                    seen.unanswered += u32::from(end == End::Unanswered);
                    if end == End::Refused {
                        seen.refused(now, false);
                    }
                    scene.end(began, end, now)
                }
                Step::Late(end) => scene.judge.ended_late(end, at),
                Step::Canary(_) if !scene.judge.wants_canary(at) => {
                    prop_assert!(seen.refused == 0, "who refused is asked again");
                    continue;
                }
                Step::Canary(canary) => {
                    seen.failed += u32::from(canary != Canary::Answered);
                    match canary {
                        Canary::Refused => seen.refused(now, true),
                        Canary::Silent(_) => seen.refused = 0,
                        Canary::Answered => {}
                    }
                    scene.judge.canary(&canary, at)
                }
            };
            let answered = matches!(
                step,
                Step::End(End::Answered | End::Working) | Step::Late(End::Answered | End::Working)
            );
            if answered {
                prop_assert_eq!(&news, &Some(News::Answers));
                seen.unanswered = 0;
            }
            if matches!(step, Step::End(End::Working) | Step::Late(End::Working)) {
                seen.working = Some(now);
            }
            if answered || matches!(step, Step::Canary(Canary::Answered)) {
                prop_assert!(!matches!(news, Some(News::Wedged(_))));
                seen.alive(now);
            }
            match news {
                Some(News::Wedged(reason)) => {
                    prop_assert!(!seen.wedged, "said twice");
                    seen.wedged = true;
                    let at_work = has_work && now < seen.work.max(seen.alive) + IDLE
                        || seen.working.is_some_and(|since| now < since + IDLE);
                    let by_canaries =
                        seen.refused >= CANARIES || seen.failed >= CANARIES && !at_work;
                    prop_assert!(by_canaries || seen.unanswered >= LIMIT, "{reason}");
                }
                Some(News::Answers) => seen.wedged = false,
                None => {}
            }
        }
    }
}
