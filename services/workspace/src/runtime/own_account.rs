//! What the agent says by itself, started: results of delegations, prompts.

use std::error::Error;
use std::sync::Arc;

use candor_process::drain::Drain;
use tokio::sync::watch;

use crate::inbox::{Inbox, InboxSettings};
use crate::platform::Platform;
use crate::prompts::idle::{IdlePrompt, IdleSettings};
use crate::prompts::initial::{InitialPrompt, InitialSettings};
use crate::registration::Announced;
use crate::settings::Settings;
use crate::vitals::Vitals;

/// Starts them.
///
/// # Errors
/// A folder for what must outlive the process that cannot be had.
pub(super) fn start(
    settings: &Settings,
    platform: &Platform,
    vitals: &Arc<Vitals>,
    announced: watch::Receiver<Announced>,
    drain: &Drain,
) -> Result<(), Box<dyn Error>> {
    let folder = &settings.identity.configs_dir;
    let inbox = Inbox::open(
        folder,
        platform.clone(),
        Arc::clone(vitals),
        InboxSettings {
            poll_every: settings.inbox_interval,
            cooldown: settings.inbox_cooldown,
            ..InboxSettings::default()
        },
    )
    .map_err(|error| format!("the inbox below {}: {error}", folder.display()))?;
    drain.spawn("inbox", inbox.run(announced.clone(), drain.token()));
    if let Some(text) = &settings.initial_prompt {
        let prompt = InitialPrompt::new(
            folder,
            platform.clone(),
            Arc::clone(vitals),
            text.clone(),
            InitialSettings::default(),
        );
        drain.spawn("initial prompt", prompt.run(announced, drain.token()));
    }
    if let Some(text) = settings.config.idle_prompt() {
        let prompt = IdlePrompt::new(
            platform.clone(),
            Arc::clone(vitals),
            text.to_owned(),
            IdleSettings {
                interval: settings.config.idle_interval(),
                ..IdleSettings::default()
            },
        );
        drain.spawn("idle prompt", prompt.run(drain.token()));
    }
    Ok(())
}
