//! The user that an image runs as, and who it is by number.

use super::files::Ids;

/// `USER` of an image: a name or a number, and maybe a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct User {
    user: String,
    group: Option<String>,
}

impl User {
    /// Reads `user[:group]`; nothing is root.
    pub(super) fn of(text: &str) -> Self {
        let (user, group) = match text.trim().split_once(':') {
            Some((user, group)) => (user, Some(group.to_owned())),
            None => (text.trim(), None),
        };
        Self {
            user: if user.is_empty() { "0" } else { user }.to_owned(),
            group: group.filter(|group| !group.is_empty()),
        }
    }

    /// Whether it is root without a look into the image.
    pub(super) fn is_root(&self) -> bool {
        matches!(self.user.as_str(), "0" | "root")
    }

    /// Who it is, where the image's tables are not needed to know it.
    pub(super) fn by_number(&self) -> Option<Ids> {
        let uid = if self.is_root() {
            0
        } else {
            self.user.parse().ok()?
        };
        let gid = match &self.group {
            Some(group) => group.parse().ok()?,
            None if uid == 0 => 0,
            // The user's group stands in the tables.
            None => return None,
        };
        Some(Ids { uid, gid })
    }

    /// Who it is by the image's own tables. A number without an entry has group 0, as the
    /// engine decides.
    pub(super) fn in_tables(&self, passwd: &str, groups: &str) -> Option<Ids> {
        let number: Option<u64> = self.user.parse().ok();
        let entry = passwd.lines().find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            let uid: u64 = fields.nth(1)?.parse().ok()?;
            let gid: u64 = fields.next()?.parse().ok()?;
            (name == self.user || number == Some(uid)).then_some(Ids { uid, gid })
        });
        let ids = entry.or(number.map(|uid| Ids { uid, gid: 0 }))?;
        let Some(group) = &self.group else {
            return Some(ids);
        };
        let gid = group.parse().ok().or_else(|| {
            groups.lines().find_map(|line| {
                let mut fields = line.split(':');
                let name = fields.next()?;
                let gid = fields.nth(1)?.parse().ok()?;
                (name == group).then_some(gid)
            })
        })?;
        Some(Ids { gid, ..ids })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nagent:x:1000:1001::/home/agent:/bin/sh\n";
    const GROUP: &str = "root:x:0:\nagent:x:1001:\nstaff:x:50:agent\n";

    fn ids(uid: u64, gid: u64) -> Option<Ids> {
        Some(Ids { uid, gid })
    }

    #[test]
    fn root_and_numbers_with_a_group_need_no_tables() {
        for (text, expected) in [
            ("", ids(0, 0)),
            ("root", ids(0, 0)),
            ("0:5", ids(0, 5)),
            ("10001:10001", ids(10001, 10001)),
            ("10001", None),
            ("agent", None),
            ("10001:staff", None),
        ] {
            assert_eq!(User::of(text).by_number(), expected, "{text:?}");
        }
    }

    #[test]
    fn names_are_looked_up_in_the_image() {
        for (text, expected) in [
            ("agent", ids(1000, 1001)),
            ("agent:staff", ids(1000, 50)),
            ("agent:7", ids(1000, 7)),
            ("1000", ids(1000, 1001)),
            ("4711", ids(4711, 0)),
            ("nobody-knows", None),
            ("agent:nobody-knows", None),
        ] {
            assert_eq!(
                User::of(text).in_tables(PASSWD, GROUP),
                expected,
                "{text:?}"
            );
        }
    }
}
