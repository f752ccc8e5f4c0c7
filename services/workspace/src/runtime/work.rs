//! Who does the agent's work, and what is served of it.

use std::env;
use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use candor_egress::{AddressPolicy, Egress};
use candor_process::drain::Drain;
use futures::future::BoxFuture;
use serde_json::{Value, json};
use url::Url;

use crate::a2a::{Card, Limits, Served, Skill, router};
use crate::executor::claude::{ClaudeCode, ClaudeSettings};
use crate::executor::command::{CommandLine, CommandSettings};
use crate::executor::echo::Echo;
use crate::executor::{Executor, Observer};
use crate::platform::Platform;
use crate::proxy::{Proxy, ProxySettings};
use crate::registration::CardSource;
use crate::reports::Reports;
use crate::settings::{ExecutorKind, Identity, Settings};
use crate::turns::Turns;
use crate::vitals::Vitals;

/// Where the Claude CLI's session is kept, below `CONFIGS_DIR`.
const SESSION: &str = ".candor/claude-session";

/// The agent, as the other parts see it.
pub(super) struct Work {
    pub(super) vitals: Arc<Vitals>,
    pub(super) router: Router,
    pub(super) card: CardSource,
}

impl Work {
    /// The work that the settings name; what runs beside it is started.
    ///
    /// # Errors
    /// What the executor needs and cannot have.
    pub(super) fn of(
        settings: &Settings,
        platform: &Platform,
        url: &str,
        drain: &Drain,
    ) -> Result<Self, Box<dyn Error>> {
        let executor: Arc<dyn Executor> = match settings.executor {
            ExecutorKind::Echo => Arc::new(Echo),
            ExecutorKind::Command => Arc::new(CommandLine::new(command(settings)?)),
            ExecutorKind::ClaudeCode => Arc::new(ClaudeCode::new(claude(settings)?)),
            ExecutorKind::Proxy => return Self::beside(settings, url, drain),
        };
        Ok(Self::hosted(executor, settings, platform, url, drain))
    }

    /// The work is done by an agent beside this process.
    fn beside(settings: &Settings, url: &str, drain: &Drain) -> Result<Self, Box<dyn Error>> {
        let agent = settings.agent.as_ref().ok_or("--agent-url is missing")?;
        let defaults = ProxySettings::new(agent.url.clone());
        let proxied = ProxySettings {
            canary_every: agent.canary_every,
            canary_timeout: agent.canary_timeout,
            idle_timeout: agent.idle_timeout,
            ceiling: settings.turn_timeout,
            concurrency: settings.concurrency.unwrap_or(defaults.concurrency),
            ..defaults
        };
        let vitals = Vitals::new(&proxied.declares());
        // Who starts the sidecar says where its agent is; a platform's callers do not.
        let egress = Egress::new(AddressPolicy::Loopback)?;
        let proxy = Proxy::new(proxied, Arc::clone(&vitals), egress);
        let own = Url::parse(url)?;
        proxy.found_at(own.clone());
        drain.spawn("canary", proxy.clone().watch(drain.token()));
        let asked = proxy.clone();
        let card = move || -> BoxFuture<'static, Result<Value, String>> {
            let (asked, own) = (asked.clone(), own.clone());
            Box::pin(async move { asked.card(&own).await.map_err(|error| error.to_string()) })
        };
        Ok(Self {
            vitals,
            card: CardSource::Asked(Box::new(card)),
            router: proxy.router(),
        })
    }

    /// The work is done here.
    fn hosted(
        executor: Arc<dyn Executor>,
        settings: &Settings,
        platform: &Platform,
        url: &str,
        drain: &Drain,
    ) -> Self {
        let vitals = Vitals::new(executor.as_ref());
        let (reports, reporter) = Reports::new(platform.clone());
        drain.spawn("reports", reporter.run(drain.token()));
        let observer: Arc<dyn Observer> = Arc::new(reports);
        let card = card(settings, executor.name(), url);
        let turns = Turns::observed(executor, Arc::clone(&vitals), Some(observer));
        Self {
            vitals,
            card: CardSource::Known(card.to_json()),
            router: router(Served {
                turns,
                workspace: platform.workspace(),
                tokens: Arc::clone(platform.tokens()),
                card,
                limits: Limits::default(),
            }),
        }
    }
}

fn card(settings: &Settings, executor: &str, url: &str) -> Card {
    let config = &settings.config;
    let or = |text: &str, default: String| {
        if text.is_empty() {
            default
        } else {
            text.to_owned()
        }
    };
    Card {
        name: or(&config.name, settings.identity.workspace.to_string()),
        description: or(&config.description, format!("An agent run by {executor}")),
        version: or(&config.version, "1.0.0".into()),
        skills: config
            .skills
            .iter()
            .map(|name| Skill {
                id: name.clone(),
                name: name.clone(),
                description: name.clone(),
                tags: Vec::new(),
            })
            .collect(),
        streaming: true,
        url: url.to_owned(),
    }
}

fn command(settings: &Settings) -> Result<CommandSettings, Box<dyn Error>> {
    Ok(CommandSettings {
        program: settings.program.clone(),
        timeout: settings.turn_timeout,
        working_dir: env::current_dir()?,
        parallel: settings.concurrency.unwrap_or(1),
        env: Vec::new(),
    })
}

fn claude(settings: &Settings) -> Result<ClaudeSettings, Box<dyn Error>> {
    let identity = &settings.identity;
    let session = identity.configs_dir.join(SESSION);
    Ok(ClaudeSettings {
        bin: settings.claude.bin.clone(),
        init_timeout: settings.claude.init_timeout,
        turn_timeout: settings.turn_timeout,
        model: settings.config.model_name().map(ToOwned::to_owned),
        system_prompt: settings.system_prompt.clone(),
        permission_mode: settings.claude.permission_mode,
        mcp_config: Some(tools(identity, &env::current_exe()?)),
        ..ClaudeSettings::new(env::current_dir()?, session)
    })
}

/// The delegation tools, as the CLI starts them: this program, for this workspace.
fn tools(identity: &Identity, program: &Path) -> String {
    json!({"mcpServers": {"candor": {
        "type": "stdio",
        "command": program,
        "args": ["mcp"],
        "env": {
            "WORKSPACE_ID": identity.workspace,
            "PLATFORM_URL": identity.platform.as_str(),
            "CONFIGS_DIR": identity.configs_dir,
        },
    }}})
    .to_string()
}
