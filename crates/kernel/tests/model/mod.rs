//! A second, naive implementation of the status table, written from its prose
//! (design: section 5) and sharing no code with the kernel: words instead of
//! types, one branch after the other. Where the two differ, one is wrong.

use serde_json::{Value, json};

/// Something that was said or seen, and when (seconds of the test's clock).
pub type Cause = Option<(i64, String)>;

/// A beat, as the wire has it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Beat {
    pub typed: bool,
    pub error_rate: Option<f64>,
    pub sample_error: Option<String>,
    pub uptime: Option<i32>,
    pub word: Option<String>,
    /// Metadata: whether it owns `status_mgmt`.
    pub owns: Option<bool>,
}

/// Who calls.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Who {
    /// The instance of the token.
    pub epoch: Option<i64>,
    pub retired: bool,
}

/// Everything that can happen.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    Register(Who),
    Beat(Who, Beat),
    Unresponsive(String),
    Answered,
    LeaseDead,
    Gone,
    StartFailed,
    TimedOut,
    BootstrapFailed,
    Restart { backend: bool },
    Pause,
    Resume { backend: bool },
    Hibernate,
    Hibernated,
    HibernateFailed,
    Remove(Option<u32>),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    pub status: &'static str,
    pub epoch: i64,
    pub fence: i64,
    pub wedged: Cause,
    pub errors: Cause,
    pub deaf: Cause,
    pub unknown: Cause,
    pub full_seen: bool,
    pub uptime: Option<i32>,
    pub word: String,
    pub owns: Option<bool>,
    pub external: bool,
}

/// What the table says about one event.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    pub rule: &'static str,
    /// `ok`, `stale`, `removed` or `refused`.
    pub outcome: &'static str,
    pub events: Vec<(&'static str, Value)>,
}

pub const CARD: &str = r#"{"z":1.0,"a":[]}"#;
pub const URL: &str = "http://agent.example:8000";

impl Model {
    pub fn created(kind: &str) -> Self {
        let mut m = Model {
            status: "provisioning",
            epoch: 0,
            fence: 0,
            wedged: None,
            errors: None,
            deaf: None,
            unknown: None,
            full_seen: false,
            uptime: None,
            word: String::new(),
            owns: None,
            external: kind.starts_with("external"),
        };
        match kind {
            "container" => m.fence = 1,
            "no backend" => m.status = "failed",
            "external with url" => m.status = "online",
            "external" => m.status = "awaiting_agent",
            other => panic!("no such kind: {other}"),
        }
        m
    }

    fn no_cause(&self) -> bool {
        self.wedged.is_none()
            && self.errors.is_none()
            && self.deaf.is_none()
            && self.unknown.is_none()
    }

    fn settle(&mut self) {
        self.status = if self.no_cause() {
            "online"
        } else {
            "degraded"
        };
    }

    /// The heaviest standing cause, told as R8 tells it.
    fn standing(&self) -> Value {
        if let Some((_, text)) = &self.wedged {
            json!({"runtime_state": "wedged", "sample_error": text})
        } else if let Some((_, text)) = &self.deaf {
            json!({"runtime_state": "unresponsive", "sample_error": text})
        } else if let Some((_, text)) = &self.errors {
            json!({"sample_error": text})
        } else {
            let text = self.unknown.as_ref().map(|(_, text)| text.clone());
            json!({"sample_error": text.unwrap_or_default()})
        }
    }

    /// One event, at `now`.
    pub fn step(&mut self, event: &Event, now: i64) -> Verdict {
        if self.status == "removed" {
            return Verdict {
                rule: "R18",
                outcome: "removed",
                events: vec![],
            };
        }
        let untouched = self.clone();
        if let Event::Register(who) | Event::Beat(who, _) = event
            && (who.retired || who.epoch.is_some_and(|e| e < self.fence))
        {
            return Verdict {
                rule: "steady",
                outcome: "stale",
                events: vec![],
            };
        }
        // A status that somebody set by hand.
        if self.status == "degraded" && self.no_cause() {
            let why = "the row was degraded, and nobody recorded why";
            self.unknown = Some((now, why.to_owned()));
        }
        if self.status == "online" {
            (self.wedged, self.errors, self.deaf, self.unknown) = (None, None, None, None);
        }
        let from = self.status;
        let verdict = match event {
            Event::Register(who) => self.register(*who),
            Event::Beat(who, beat) => self.beat(*who, beat, now),
            _ => self.other(event, now),
        };
        if verdict.outcome == "refused" {
            *self = untouched;
            assert_eq!(self.status, from);
        }
        verdict
    }

    fn locked(&self, who: Who) -> bool {
        let leads = match who.epoch {
            Some(epoch) => epoch == self.fence,
            None => self.fence == 0,
        };
        (self.status == "provisioning" || self.status == "failed") && !leads
    }

    fn stopped(&self) -> bool {
        ["paused", "hibernating", "hibernated"].contains(&self.status)
    }

    fn register(&mut self, who: Who) -> Verdict {
        if self.locked(who) {
            return ok("steady", vec![]);
        }
        if who.epoch == Some(self.fence) {
            self.epoch = self.fence;
        }
        (self.wedged, self.errors, self.unknown) = (None, None, None);
        (self.full_seen, self.uptime, self.owns) = (false, None, None);
        self.word = String::new();
        if self.stopped() {
            return ok("R1b", vec![]);
        }
        let was_alive = self.status == "online" || self.status == "degraded";
        self.settle();
        let card: Value = serde_json::from_str(CARD).unwrap();
        if self.status == "online" {
            ok(
                "R1",
                vec![("WORKSPACE_ONLINE", json!({"url": URL, "agent_card": card}))],
            )
        } else if was_alive {
            ok("R1", vec![])
        } else {
            ok("R1", vec![("WORKSPACE_DEGRADED", self.standing())])
        }
    }

    fn beat(&mut self, who: Who, beat: &Beat, now: i64) -> Verdict {
        if self.locked(who) {
            return ok("steady", vec![]);
        }
        if who.epoch == Some(self.fence) {
            self.epoch = self.fence;
        }
        let full = if beat.typed {
            beat.error_rate.is_some() && beat.uptime.is_some()
        } else {
            let quick = beat.uptime == Some(0) && beat.word.is_none() && beat.owns.is_none();
            !quick || !self.full_seen
        };
        let restarted =
            full && beat.uptime.is_some() && self.uptime.is_some() && { beat.uptime < self.uptime };
        let had_own = self.wedged.is_some() || self.errors.is_some();
        if restarted {
            (self.wedged, self.errors, self.full_seen) = (None, None, false);
        }
        if full {
            if let Some(uptime) = beat.uptime {
                self.uptime = Some(uptime);
                if uptime > 0 {
                    self.full_seen = true;
                }
            }
            self.word = beat.word.clone().unwrap_or_default();
            if beat.owns.is_some() {
                self.owns = beat.owns;
            }
        } else if let Some(word) = &beat.word {
            self.word = word.clone();
        }
        if self.stopped() {
            return ok("steady", vec![]);
        }
        self.weigh(beat, full, restarted && had_own, now)
    }

    fn weigh(&mut self, beat: &Beat, full: bool, mut fell: bool, now: i64) -> Verdict {
        let from = self.status;
        let rate = beat.error_rate.unwrap_or(0.0);
        let wedged = beat.word.as_deref() == Some("wedged");
        let fine = ["", "ok", "healthy", "ready"].contains(&self.word.as_str());
        if full && rate < 0.1 && !wedged && (self.wedged.is_none() || fine) {
            fell |= self.wedged.is_some() || self.errors.is_some() || self.unknown.is_some();
            (self.wedged, self.errors, self.unknown) = (None, None, None);
        }
        let erring = rate >= 0.5 && self.owns != Some(true);
        let say = |old: &Cause| {
            let text = match (&beat.sample_error, full && !beat.typed) {
                (Some(text), _) => text.clone(),
                (None, true) => String::new(),
                (None, false) => old.as_ref().map_or(String::new(), |(_, text)| text.clone()),
            };
            Some((old.as_ref().map_or(now, |(since, _)| *since), text))
        };
        if wedged {
            self.wedged = say(&self.wedged);
        }
        if erring {
            self.errors = say(&self.errors);
        }
        self.settle();
        let rule = match from {
            "online" if wedged => "R4",
            "online" if erring => "R5",
            "degraded" if wedged || erring => "R7",
            "degraded" if fell => "R6",
            "online" | "degraded" => "steady",
            _ if self.status == "online" => "R2",
            _ => "R3",
        };
        if self.status == from {
            return ok(rule, vec![]);
        }
        if self.status == "online" {
            let payload = match from {
                "provisioning" => json!({"recovered_from": "provisioning"}),
                _ => json!({}),
            };
            return ok(rule, vec![("WORKSPACE_ONLINE", payload)]);
        }
        let payload = if wedged || erring {
            let own = if wedged { &self.wedged } else { &self.errors };
            let mut facts = json!({"sample_error": own.as_ref().unwrap().1});
            if wedged {
                facts["runtime_state"] = json!("wedged");
            }
            if erring {
                facts["error_rate"] = if rate.fract() == 0.0 {
                    json!(rate as i64)
                } else {
                    json!(rate)
                };
            }
            facts
        } else {
            self.standing()
        };
        ok(rule, vec![("WORKSPACE_DEGRADED", payload)])
    }

    fn other(&mut self, event: &Event, now: i64) -> Verdict {
        let alive = self.status == "online" || self.status == "degraded";
        let profile = json!({"name": "n", "tier": 2, "runtime": "r"});
        match event {
            Event::Unresponsive(text) if alive => {
                let since = self.deaf.as_ref().map_or(now, |(since, _)| *since);
                self.deaf = Some((since, text.clone()));
                if self.status == "online" {
                    self.status = "degraded";
                    return ok("R8", vec![("WORKSPACE_DEGRADED", self.standing())]);
                }
                ok("R8", vec![])
            }
            Event::Answered if self.status == "degraded" && self.deaf.is_some() => {
                self.deaf = None;
                self.settle();
                if self.status == "online" {
                    return ok("R9", vec![("WORKSPACE_ONLINE", json!({}))]);
                }
                ok("R9", vec![])
            }
            Event::LeaseDead | Event::Gone if alive => {
                self.status = "offline";
                ok("R10", vec![("WORKSPACE_OFFLINE", json!({}))])
            }
            Event::StartFailed | Event::TimedOut | Event::BootstrapFailed
                if self.status == "provisioning" =>
            {
                self.status = "failed";
                let payload = match event {
                    Event::StartFailed => json!({"error": "e", "missing": ["A"]}),
                    Event::TimedOut => json!({"error": "e", "runtime": "r",
                        "source": "provision_timeout_sweep", "timeout_secs": 600}),
                    _ => json!({"error": "e", "log_tail": "l", "source": "bootstrap_watcher"}),
                };
                ok("R11", vec![("WORKSPACE_PROVISION_FAILED", payload)])
            }
            Event::Restart { backend } => match self.status {
                "paused" | "hibernated" => self.resume(*backend, profile),
                "hibernating" => refused("R13"),
                _ if self.external || !backend => refused("R13"),
                _ => {
                    self.provision();
                    ok("R13", vec![("WORKSPACE_PROVISIONING", profile)])
                }
            },
            Event::Resume { backend } => match self.status {
                "paused" | "hibernated" => self.resume(*backend, profile),
                _ => refused("R15"),
            },
            Event::Pause => match self.status {
                "paused" | "hibernating" => refused("R14"),
                _ => {
                    self.status = "paused";
                    ok("R14", vec![("WORKSPACE_PAUSED", json!({"name": "n"}))])
                }
            },
            Event::Hibernate if alive => {
                self.status = "hibernating";
                ok("R16", vec![])
            }
            Event::Hibernate => refused("R16"),
            Event::Hibernated if self.status == "hibernating" => {
                self.status = "hibernated";
                ok(
                    "R16",
                    vec![("WORKSPACE_HIBERNATED", json!({"name": "n", "tier": 2}))],
                )
            }
            Event::HibernateFailed if self.status == "hibernating" => {
                self.settle();
                if self.status == "online" {
                    return ok("R16", vec![("WORKSPACE_ONLINE", json!({}))]);
                }
                ok("R16", vec![("WORKSPACE_DEGRADED", self.standing())])
            }
            Event::Remove(cascade) => {
                self.status = "removed";
                let payload = match cascade {
                    Some(count) => json!({"cascade_deleted": count}),
                    None => json!({}),
                };
                ok("R17", vec![("WORKSPACE_REMOVED", payload)])
            }
            _ => ok("steady", vec![]),
        }
    }

    fn provision(&mut self) {
        self.fence = self.epoch.max(self.fence) + 1;
        self.status = "provisioning";
        (self.wedged, self.errors, self.deaf, self.unknown) = (None, None, None, None);
        (self.full_seen, self.uptime, self.owns) = (false, None, None);
        self.word = String::new();
    }

    fn resume(&mut self, backend: bool, profile: Value) -> Verdict {
        if backend && !self.external {
            self.provision();
        } else {
            self.status = "awaiting_agent";
        }
        ok("R15", vec![("WORKSPACE_PROVISIONING", profile)])
    }
}

fn ok(rule: &'static str, events: Vec<(&'static str, Value)>) -> Verdict {
    Verdict {
        rule,
        outcome: "ok",
        events,
    }
}

fn refused(rule: &'static str) -> Verdict {
    Verdict {
        rule,
        outcome: "refused",
        events: vec![],
    }
}
