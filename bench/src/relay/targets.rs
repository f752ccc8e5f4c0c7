//! What calls are sent to, started: the agents themselves, the floors, Candor.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::future::try_join_all;

use super::agent;
use super::message::Message;
use crate::Result;
use crate::beat::Workspace;
use crate::cpu::Watch;
use crate::enrol::{enrol_at, probe};
use crate::meter::Meter;
use crate::postgres::Postgres;
use crate::program::{Program, Programs};
use crate::targets::{ANY_PORT, up};

/// A step over the agents that has no divisor in common with their usual number.
const STEP: u64 = 617;

/// What calls are sent to, in the order of a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The agents, on connections that are kept.
    Direct,
    /// The agents, each call on a connection of its own.
    DirectAnew,
    /// A proxy that commits one row before it calls.
    Forward,
    /// A proxy that commits a row of its log before it answers.
    Buffering,
    /// `candor up`.
    Candor,
}

/// Something that answers calls.
#[derive(Debug)]
pub struct Target {
    /// What it is.
    pub kind: Kind,
    /// Where it listens.
    pub http: SocketAddr,
    /// Its database, if it has one.
    pub database: Option<&'static str>,
    /// What its database does, if it has one.
    pub meter: Option<Meter>,
    /// Those who call and are called, an agent each; of Candor only.
    pub workspaces: Vec<Workspace>,
    /// Plain calls go to this agent and those after it.
    first: usize,
    agents: usize,
    calls: AtomicU64,
    pid: u32,
    agent: Option<u32>,
    postgres: u32,
}

/// What starting needs.
#[derive(Debug)]
pub struct Starter<'a> {
    /// Where the binaries are.
    pub programs: &'a Programs,
    /// The database server.
    pub postgres: &'a Postgres,
    /// A folder for what is written.
    pub folder: &'a Path,
    /// All agents.
    pub agent: &'a Program,
    /// How many they are.
    pub agents: usize,
}

/// A target and its program, which ends when this is dropped.
#[derive(Debug)]
pub struct Started {
    /// What calls are sent to.
    pub target: Arc<Target>,
    /// None where the target is the agents.
    pub program: Option<Program>,
}

impl Kind {
    /// All, in the order of a round.
    pub const ALL: [Self; 5] = [
        Self::Direct,
        Self::DirectAnew,
        Self::Forward,
        Self::Buffering,
        Self::Candor,
    ];

    /// Whether callers keep their connections.
    pub fn keeps(self) -> bool {
        self != Self::DirectAnew
    }

    fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::DirectAnew => "direct-anew",
            Self::Forward => "floor-forward",
            Self::Buffering => "floor-buffering-proxy",
            Self::Candor => "candor",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Target {
    /// The next message, to one agent after the other.
    pub fn next(&self) -> Message {
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        let others = (self.agents - self.first) as u64;
        let agent = self.first + usize::try_from(number * STEP % others).unwrap_or_default();
        Message { number, agent }
    }

    /// The next message, to this agent.
    pub fn next_to(&self, agent: usize) -> Message {
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        Message { number, agent }
    }

    /// How many messages there were.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Where a message goes.
    pub fn path(&self, message: Message) -> String {
        match self.workspaces.get(message.agent) {
            Some(workspace) => format!("/workspaces/{}/a2a", workspace.id),
            None => agent::path(message.agent),
        }
    }

    /// The workspace that sends a message: messages with odd numbers are from one,
    /// all others from a person.
    pub fn sender(&self, message: Message) -> Option<&Workspace> {
        let another = (message.agent + 1) % self.agents;
        let is_odd = message.number % 2 == 1;
        self.workspaces.get(another).filter(|_| is_odd)
    }

    /// The whole request that is answered at once.
    pub fn request(&self, message: Message) -> String {
        let (path, body) = (self.path(message), message.request());
        let sender = self.sender(message).map_or_else(String::new, |workspace| {
            let Workspace { id, token } = workspace;
            format!("Authorization: Bearer {token}\r\nX-Workspace-ID: {id}\r\n")
        });
        let connection = match self.kind.keeps() {
            true => "",
            false => "Connection: close\r\n",
        };
        format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n{sender}{connection}Content-Length: {}\r\n\r\n{body}",
            self.http,
            body.len()
        )
    }

    /// A beat of each workspace: no lease ends while others are measured.
    pub async fn beat(&self) -> Result<()> {
        let beats = self.workspaces.iter().map(|one| probe(self.http, one));
        try_join_all(beats).await?;
        Ok(())
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Who has the CPU from now on.
    pub fn watch(&self) -> Result<Watch> {
        Watch::of(self.pid, self.postgres, self.agent)
    }
}

impl Started {
    /// Fails when it has ended.
    pub fn check(&mut self) -> Result<()> {
        self.program.as_mut().map_or(Ok(()), Program::check)
    }
}

impl Starter<'_> {
    /// Everything, in the order of a round.
    pub async fn all(&self) -> Result<Vec<Started>> {
        let mut all = Vec::new();
        for kind in Kind::ALL {
            all.push(match kind {
                Kind::Direct | Kind::DirectAnew => self.direct(kind)?,
                Kind::Forward => self.floor(kind, "forward").await?,
                Kind::Buffering => self.floor(kind, "buffering").await?,
                Kind::Candor => self.candor("relay", 0).await?,
            });
        }
        Ok(all)
    }

    /// A standalone with a workspace for each agent; plain calls go to the agents
    /// from `first` on.
    pub async fn candor(&self, name: &'static str, first: usize) -> Result<Started> {
        let url = self.postgres.database(name).await?;
        let mut command = up(self.programs, &self.folder.join(format!("{name}-data")));
        command.env("DATABASE_URL", &url);
        let program = self.programs.start(name, command).await?;
        let http = program.address("http")?;
        // By name: the platform refuses an agent that says it is at 127.0.0.1.
        let port = self.agent.address("http")?.port();
        let url = |agent| format!("http://localhost:{port}{}", agent::path(agent));
        let workspaces = enrol_at(http, (0..self.agents).map(url).collect()).await?;
        let target = Target {
            database: Some(name),
            meter: Some(Meter::new(self.postgres, name, "relay.intents")),
            workspaces,
            first,
            ..self.target(Kind::Candor, http, program.pid()?)?
        };
        Ok(Started {
            target: Arc::new(target),
            program: Some(program),
        })
    }

    fn direct(&self, kind: Kind) -> Result<Started> {
        let target = Target {
            agent: None,
            ..self.target(kind, self.agent.address("http")?, self.agent.pid()?)?
        };
        Ok(Started {
            target: Arc::new(target),
            program: None,
        })
    }

    async fn floor(&self, kind: Kind, name: &'static str) -> Result<Started> {
        let url = self.postgres.database(name).await?;
        let mut command: Command = self.programs.command("candor-bench");
        command.args([kind.name(), "--addr", ANY_PORT, "--database-url", &url]);
        command.args(["--agents", &self.agent.address("http")?.to_string()]);
        let program = self.programs.start(kind.name(), command).await?;
        let target = Target {
            database: Some(name),
            meter: Some(Meter::new(self.postgres, name, "public.calls")),
            ..self.target(kind, program.address("http")?, program.pid()?)?
        };
        Ok(Started {
            target: Arc::new(target),
            program: Some(program),
        })
    }

    /// Without a database and workspaces.
    fn target(&self, kind: Kind, http: SocketAddr, pid: u32) -> Result<Target> {
        Ok(Target {
            kind,
            http,
            database: None,
            meter: None,
            workspaces: Vec::new(),
            first: 0,
            agents: self.agents,
            calls: AtomicU64::new(0),
            pid,
            agent: Some(self.agent.pid()?),
            postgres: self.postgres.pid()?,
        })
    }
}
