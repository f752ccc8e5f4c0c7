//! The rows.

use super::{Row, RuleId, Target};
use crate::decision::EventType as Event;
use crate::status::Status::{
    self, AwaitingAgent, Degraded, Failed, Hibernated, Hibernating, Offline, Online, Paused,
    Provisioning, Removed,
};

const STOPPED: &[Status] = &[Paused, Hibernating, Hibernated];
const DOWN: &[Status] = &[Provisioning, AwaitingAgent, Offline, Failed];
const ALIVE: &[Status] = &[Online, Degraded];
const NOT_STOPPED: &[Status] = &[
    Provisioning,
    AwaitingAgent,
    Online,
    Degraded,
    Offline,
    Failed,
];
const NOT_ONLINE: &[Status] = &[Provisioning, AwaitingAgent, Degraded, Offline, Failed];
const NOT_REMOVED: &[Status] = &[
    Provisioning,
    AwaitingAgent,
    Online,
    Degraded,
    Offline,
    Failed,
    Paused,
    Hibernating,
    Hibernated,
];
const NOT_ASLEEP: &[Status] = &[
    Provisioning,
    AwaitingAgent,
    Online,
    Degraded,
    Offline,
    Failed,
    Hibernating,
];
const NOT_ALIVE: &[Status] = &[
    Provisioning,
    AwaitingAgent,
    Offline,
    Failed,
    Paused,
    Hibernating,
    Hibernated,
];
const PAUSABLE: &[Status] = &[
    Provisioning,
    AwaitingAgent,
    Online,
    Degraded,
    Offline,
    Failed,
    Hibernated,
];
const TO_ALIVE: Target = Target::OneOf(ALIVE);

/// The status table. Rows are matched by rule and status; the conditions are
/// in words, the code is [`crate::decide`].
#[rustfmt::skip]
pub const TABLE: &[Row] = &[
    Row {
        rule: RuleId::R1, from: &[Online], on: "register, not stale", to: Target::OneOf(&[Online]),
        effect: "begins an incarnation", events: &[Event::WorkspaceOnline],
        payload: "`{agent_card,url}`: the address or the card may be new",
    },
    Row {
        rule: RuleId::R1, from: NOT_ONLINE, on: "register, not stale", to: TO_ALIVE,
        effect: "begins an incarnation: self-reported causes cleared, `unresponsive` kept; online if none is left, else degraded",
        events: &[Event::WorkspaceOnline, Event::WorkspaceDegraded],
        payload: "`{agent_card,url}` when online; as R8 when degraded and it was not",
    },
    Row {
        rule: RuleId::R1b, from: STOPPED, on: "register, not stale", to: Target::Unchanged,
        effect: "url and card stored", events: &[], payload: "",
    },
    Row {
        rule: RuleId::R2, from: DOWN, on: "beat, no cause", to: Target::OneOf(&[Online]),
        effect: "R6's clearing applies first", events: &[Event::WorkspaceOnline],
        payload: "`{recovered_from:\"provisioning\"}` from provisioning, else `{}`",
    },
    Row {
        rule: RuleId::R3, from: DOWN, on: "beat that brings or leaves a cause", to: Target::OneOf(&[Degraded]),
        effect: "R6's clearing applies first", events: &[Event::WorkspaceDegraded],
        payload: "as R4 and R5; the standing cause's evidence if the beat brings none",
    },
    Row {
        rule: RuleId::R4, from: &[Online], on: "beat, runtime state `wedged`", to: Target::OneOf(&[Degraded]),
        effect: "cause `wedged`", events: &[Event::WorkspaceDegraded],
        payload: "`{runtime_state:\"wedged\",sample_error}`, with `error_rate` if R5 holds too",
    },
    Row {
        rule: RuleId::R5, from: &[Online], on: "beat, error rate >= 0.5, runtime does not own `status_mgmt`", to: Target::OneOf(&[Degraded]),
        effect: "cause `error_rate`", events: &[Event::WorkspaceDegraded],
        payload: "`{error_rate,sample_error}`",
    },
    Row {
        rule: RuleId::R6, from: &[Degraded], on: "full beat, error rate < 0.1 and not wedged (healthy, if a cause `wedged` stands)", to: TO_ALIVE,
        effect: "causes `wedged`, `error_rate` and `unknown` cleared; online if none is left. A new incarnation drops self-reported causes in the same way",
        events: &[Event::WorkspaceOnline], payload: "`{}`",
    },
    Row {
        rule: RuleId::R7, from: &[Degraded], on: "beat that adds or repeats a cause", to: Target::Unchanged,
        effect: "evidence updated", events: &[], payload: "",
    },
    Row {
        rule: RuleId::R8, from: ALIVE, on: "observed unresponsive", to: Target::OneOf(&[Degraded]),
        effect: "cause `unresponsive`", events: &[Event::WorkspaceDegraded],
        payload: "`{runtime_state:\"unresponsive\",sample_error}` if it was online",
    },
    Row {
        rule: RuleId::R9, from: &[Degraded], on: "observed answer", to: TO_ALIVE,
        effect: "cause `unresponsive` cleared; online if none is left",
        events: &[Event::WorkspaceOnline], payload: "`{}`",
    },
    Row {
        rule: RuleId::R10, from: ALIVE, on: "lease dead, or the backend says the instance is gone", to: Target::OneOf(&[Offline]),
        effect: "causes kept", events: &[Event::WorkspaceOffline], payload: "`{}`",
    },
    Row {
        rule: RuleId::R11, from: &[Provisioning], on: "start failed, provision timeout, bootstrap failed", to: Target::OneOf(&[Failed]),
        effect: "", events: &[Event::WorkspaceProvisionFailed],
        payload: "`{error[,missing]}`; `{error,runtime,source:\"provision_timeout_sweep\",timeout_secs}`; `{error,log_tail,source:\"bootstrap_watcher\"}`",
    },
    Row {
        rule: RuleId::R12, from: &[], on: "create", to: Target::OneOf(&[Provisioning, Failed, Online, AwaitingAgent]),
        effect: "container: provisioning, first fence (no backend: R11 at once); external with url: online; external without: awaiting_agent",
        events: &[Event::WorkspaceProvisioning, Event::WorkspaceProvisionFailed, Event::WorkspaceOnline, Event::WorkspaceAwaitingAgent],
        payload: "`{name,runtime,tier}`, then `{error}`, or `{external:true,name}`",
    },
    Row {
        rule: RuleId::R13, from: NOT_STOPPED, on: "restart, not external, a backend runs it", to: Target::OneOf(&[Provisioning]),
        effect: "fence raised, causes cleared", events: &[Event::WorkspaceProvisioning],
        payload: "`{name,runtime,tier}`",
    },
    Row {
        rule: RuleId::R13, from: NOT_ASLEEP, on: "restart of an external one, without a backend, or while hibernating", to: Target::Unchanged,
        effect: "refused", events: &[], payload: "",
    },
    Row {
        rule: RuleId::R14, from: PAUSABLE, on: "pause", to: Target::OneOf(&[Paused]),
        effect: "", events: &[Event::WorkspacePaused], payload: "`{name}`",
    },
    Row {
        rule: RuleId::R14, from: &[Paused, Hibernating], on: "pause", to: Target::Unchanged,
        effect: "refused", events: &[], payload: "",
    },
    Row {
        rule: RuleId::R15, from: &[Paused, Hibernated], on: "resume, wake, restart", to: Target::OneOf(&[Provisioning, AwaitingAgent]),
        effect: "provisioning with the fence raised; external, or no backend runs it: awaiting_agent, causes kept",
        events: &[Event::WorkspaceProvisioning], payload: "`{name,runtime,tier}`",
    },
    Row {
        rule: RuleId::R15, from: NOT_ASLEEP, on: "resume", to: Target::Unchanged,
        effect: "refused", events: &[], payload: "",
    },
    Row {
        rule: RuleId::R16, from: ALIVE, on: "hibernate", to: Target::OneOf(&[Hibernating]),
        effect: "told when it is done", events: &[], payload: "",
    },
    Row {
        rule: RuleId::R16, from: NOT_ALIVE, on: "hibernate", to: Target::Unchanged,
        effect: "refused", events: &[], payload: "",
    },
    Row {
        rule: RuleId::R16, from: &[Hibernating], on: "stopped", to: Target::OneOf(&[Hibernated]),
        effect: "", events: &[Event::WorkspaceHibernated], payload: "`{name,tier}`",
    },
    Row {
        rule: RuleId::R16, from: &[Hibernating], on: "stop failed or timed out", to: TO_ALIVE,
        effect: "online; degraded if a cause stands", events: &[Event::WorkspaceOnline, Event::WorkspaceDegraded],
        payload: "`{}`; as R3",
    },
    Row {
        rule: RuleId::R17, from: NOT_REMOVED, on: "remove", to: Target::OneOf(&[Removed]),
        effect: "final", events: &[Event::WorkspaceRemoved],
        payload: "`{cascade_deleted}` for the root of the deletion, else `{}`",
    },
    Row {
        rule: RuleId::R18, from: &[Removed], on: "anything", to: Target::Unchanged,
        effect: "no effect", events: &[], payload: "",
    },
    Row {
        rule: RuleId::Steady, from: NOT_REMOVED, on: "anything else, and calls of superseded instances", to: Target::Unchanged,
        effect: "no rule applies", events: &[], payload: "",
    },
];
