//! What is measured, started: Candor in one process and in two, the floors, the model.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use uuid::Uuid;

use crate::Result;
use crate::beat::{Workspace, read_workspaces, write_workspaces};
use crate::enrol::{enrol, probe};
use crate::floors::ANSWER;
use crate::meter::Meter;
use crate::postgres::Postgres;
use crate::program::{Program, Programs};

/// Signs callers between the processes of this run.
const IDENTITY_KEY: &str = "a key of the benchmark, known to all";
/// A port that is free.
pub const ANY_PORT: &str = "127.0.0.1:0";
const VITALS: &str = "registry.workspace_vitals";

/// What beats are sent to, in the order of a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// axum parses and answers.
    FloorHttp,
    /// axum parses, asks a second process over a unary gRPC call, answers.
    FloorHop,
    /// `candor up`.
    Standalone,
    /// `candor-gateway` and `candor-registry`.
    Separate,
    /// The original's seven statements.
    Model,
}

/// Something that answers beats.
#[derive(Debug)]
pub struct Target {
    /// What it is.
    pub kind: Kind,
    /// Where it listens.
    pub http: SocketAddr,
    /// The file of the workspaces that may beat.
    pub workspaces: PathBuf,
    /// Its database, if it has one.
    pub meter: Option<Meter>,
}

/// Everything that was started.
#[derive(Debug, Default)]
pub struct Targets {
    all: Vec<Target>,
    /// What is in front stands before what it needs, and is dropped first.
    programs: Vec<Program>,
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
    /// How many workspaces each target has.
    pub count: usize,
}

impl Kind {
    /// All, in the order of a round.
    pub const ALL: [Self; 5] = [
        Self::FloorHttp,
        Self::FloorHop,
        Self::Standalone,
        Self::Separate,
        Self::Model,
    ];

    /// Whether it is Candor.
    pub fn is_candor(self) -> bool {
        matches!(self, Self::Standalone | Self::Separate)
    }

    fn name(self) -> &'static str {
        match self {
            Self::FloorHttp => "floor-http",
            Self::FloorHop => "floor-hop",
            Self::Standalone => "standalone",
            Self::Separate => "separate",
            Self::Model => "model",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Targets {
    /// In the order of a round.
    pub fn iter(&self) -> impl Iterator<Item = &Target> {
        Kind::ALL.into_iter().filter_map(|kind| self.get(kind))
    }

    /// One of them, if it was started.
    pub fn get(&self, kind: Kind) -> Option<&Target> {
        self.all.iter().find(|target| target.kind == kind)
    }

    /// Fails when anything has ended meanwhile.
    pub fn check(&mut self) -> Result<()> {
        self.programs.iter_mut().try_for_each(Program::check)
    }

    fn keep(&mut self, program: Program) {
        self.programs.insert(0, program);
    }
}

impl Starter<'_> {
    /// Starts what is wanted. The floors come last: they answer as many bytes as
    /// Candor does.
    pub async fn start(&self, wanted: &[Kind]) -> Result<Targets> {
        let mut targets = Targets::default();
        let mut answer = ANSWER.to_owned();
        for kind in Kind::ALL
            .into_iter()
            .rev()
            .filter(|kind| wanted.contains(kind))
        {
            let target = match kind {
                Kind::FloorHttp | Kind::FloorHop => self.floor(kind, &answer, &mut targets).await?,
                Kind::Standalone | Kind::Separate => self.candor(kind, &mut targets).await?,
                Kind::Model => self.model(&mut targets).await?,
            };
            let workspaces = read_workspaces(&target.workspaces)?;
            let first = workspaces.first().ok_or("no workspaces")?;
            let answered = probe(target.http, first).await?;
            if kind.is_candor() {
                answer = answered;
            }
            targets.all.push(target);
        }
        Ok(targets)
    }

    async fn floor(&self, kind: Kind, answer: &str, targets: &mut Targets) -> Result<Target> {
        let workspaces = self.file(kind);
        let made_up = (0..self.count).map(|_| Workspace {
            id: Uuid::new_v4().to_string(),
            token: "t".repeat(43),
        });
        write_workspaces(&workspaces, &made_up.collect::<Vec<_>>())?;
        let mut command = self.ours(kind.name());
        command.args(["--answer", answer]);
        if kind == Kind::FloorHop {
            let echo = self.programs.start("floor-grpc", self.ours("floor-grpc"));
            let echo = echo.await?;
            command.args(["--grpc", &echo.address("grpc")?.to_string()]);
            targets.keep(echo);
        }
        let program = self.programs.start(kind.name(), command).await?;
        let http = program.address("http")?;
        targets.keep(program);
        Ok(Target {
            kind,
            http,
            workspaces,
            meter: None,
        })
    }

    async fn model(&self, targets: &mut Targets) -> Result<Target> {
        let kind = Kind::Model;
        let url = self.postgres.database(kind.name()).await?;
        let workspaces = self.file(kind);
        let mut command = self.ours(kind.name());
        command.args(["--database-url", &url]);
        command.args(["--workspaces", &self.count.to_string()]);
        command.arg("--file").arg(&workspaces);
        let program = self.programs.start(kind.name(), command).await?;
        let http = program.address("http")?;
        targets.keep(program);
        Ok(Target {
            kind,
            http,
            workspaces,
            meter: Some(Meter::new(self.postgres, kind.name(), "public.workspaces")),
        })
    }

    async fn candor(&self, kind: Kind, targets: &mut Targets) -> Result<Target> {
        let url = self.postgres.database(kind.name()).await?;
        let http = if kind == Kind::Standalone {
            let mut command = up(self.programs, &self.folder.join("standalone-data"));
            command.env("DATABASE_URL", &url);
            let program = self.programs.start("candor-up", command).await?;
            let http = program.address("http")?;
            targets.keep(program);
            http
        } else {
            self.separate(&url, targets).await?
        };
        let workspaces = self.file(kind);
        write_workspaces(&workspaces, &enrol(http, self.count).await?)?;
        Ok(Target {
            kind,
            http,
            workspaces,
            meter: Some(Meter::new(self.postgres, kind.name(), VITALS)),
        })
    }

    async fn separate(&self, url: &str, targets: &mut Targets) -> Result<SocketAddr> {
        let mut migrate = self.candors("candor");
        migrate.args(["migrate", "up", "--database-url", url]);
        self.programs.complete("candor-migrate", migrate).await?;

        let mut registry = self.candors("candor-registry");
        registry.args(["--json", "--database-url", url]);
        registry.args(["--grpc", ANY_PORT, "--admin", ANY_PORT]);
        let registry = self.programs.start("candor-registry", registry).await?;
        let address = format!("http://{}", registry.address("grpc")?);
        targets.keep(registry);

        let mut gateway = self.candors("candor-gateway");
        gateway.args(["--json", "--registry", &address]);
        gateway.args(["--http", ANY_PORT, "--admin", ANY_PORT]);
        let gateway = self.programs.start("candor-gateway", gateway).await?;
        let http = gateway.address("http")?;
        targets.keep(gateway);
        Ok(http)
    }

    /// A command of this very program.
    fn ours(&self, name: &str) -> Command {
        let mut command = self.programs.command("candor-bench");
        command.args([name, "--addr", ANY_PORT]);
        command
    }

    fn candors(&self, program: &str) -> Command {
        let mut command = self.programs.command(program);
        command.env("MOLECULE_ENV", "development");
        command.env("CANDOR_IDENTITY_KEY", IDENTITY_KEY);
        command
    }

    fn file(&self, kind: Kind) -> PathBuf {
        self.folder.join(format!("{kind}-workspaces"))
    }
}

/// `candor up` on free ports, with its own Postgres unless told otherwise.
pub fn up(programs: &Programs, data: &Path) -> Command {
    let mut command = programs.command("candor");
    command.args(["up", "--json", "--data-dir"]).arg(data);
    for listener in ["--http", "--grpc", "--admin"] {
        command.args([listener, ANY_PORT]);
    }
    command.env("MOLECULE_ENV", "development");
    command
}
