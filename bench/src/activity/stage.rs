//! A standalone that has just started, on a database that stays.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use sqlx::{Connection as _, PgConnection};
use tonic::transport::Channel;
use uuid::Uuid;

use crate::Result;
use crate::beat::{Workspace, read_workspaces, write_workspaces};
use crate::cpu::Watch;
use crate::enrol::enrol;
use crate::postgres::Postgres;
use crate::program::{Program, Programs};
use crate::targets::up;

/// Ids that are looked for at a time.
const AT_ONCE: usize = 10_000;

/// A database with workspaces, and how a platform is started on it.
#[derive(Debug)]
pub struct Stage<'a> {
    programs: &'a Programs,
    postgres: &'a Postgres,
    name: &'static str,
    url: String,
    data: PathBuf,
    /// The file of the workspaces.
    pub file: PathBuf,
    /// The workspaces.
    pub workspaces: Vec<Workspace>,
}

/// A running `candor up`. Dropping it drains it.
#[derive(Debug)]
pub struct Candor {
    program: Program,
    postgres: u32,
    /// Where HTTP listens, open.
    pub http: SocketAddr,
    /// Where gRPC listens.
    pub grpc: SocketAddr,
}

impl<'a> Stage<'a> {
    /// Makes a database with so many workspaces.
    pub async fn set(
        programs: &'a Programs,
        postgres: &'a Postgres,
        folder: &Path,
        name: &'static str,
        workspaces: usize,
    ) -> Result<Self> {
        let mut stage = Self {
            programs,
            postgres,
            name,
            url: postgres.database(name).await?,
            data: folder.join(format!("{name}-data")),
            file: folder.join(format!("{name}-workspaces")),
            workspaces: Vec::new(),
        };
        let candor = stage.start().await?;
        write_workspaces(&stage.file, &enrol(candor.http, workspaces).await?)?;
        stage.workspaces = read_workspaces(&stage.file)?;
        Ok(stage)
    }

    /// Starts a platform: what another one did before is in no figure of its memory.
    pub async fn start(&self) -> Result<Candor> {
        let mut command = up(self.programs, &self.data);
        command.env("DATABASE_URL", &self.url);
        let program = self.programs.start(self.name, command).await?;
        Ok(Candor {
            http: program.address("http")?,
            grpc: program.address("grpc")?,
            postgres: self.postgres.pid()?,
            program,
        })
    }

    /// The first workspace.
    pub fn first(&self) -> Result<&Workspace> {
        Ok(self.workspaces.first().ok_or("no workspaces")?)
    }

    /// A connection past the platform.
    pub async fn inside(&self) -> Result<PgConnection> {
        Ok(PgConnection::connect_with(&self.postgres.meter(self.name)).await?)
    }

    /// How many rows have this summary.
    pub async fn rows_of(&self, summary: &str) -> Result<u64> {
        let mut inside = self.inside().await?;
        let query = "SELECT count(*) FROM public.activity_logs WHERE summary = $1";
        let count: i64 = sqlx::query_scalar(query)
            .bind(summary)
            .fetch_one(&mut inside)
            .await?;
        inside.close().await?;
        Ok(u64::try_from(count)?)
    }

    /// Fails unless each of these rows is there once and no other has their summary.
    pub async fn check_rows(&self, summary: &str, ids: &[Uuid]) -> Result<()> {
        let mut inside = self.inside().await?;
        let query = "SELECT count(*) FROM public.activity_logs WHERE id = ANY($1) AND summary = $2";
        let mut found = 0;
        for some in ids.chunks(AT_ONCE) {
            let count: i64 = sqlx::query_scalar(query)
                .bind(some)
                .bind(summary)
                .fetch_one(&mut inside)
                .await?;
            found += u64::try_from(count)?;
        }
        inside.close().await?;
        let all = self.rows_of(summary).await?;
        if found != ids.len() as u64 || all != found {
            let told = ids.len();
            return Err(format!(
                "{told} rows were acknowledged, {found} of them are there, among {all} in all"
            )
            .into());
        }
        Ok(())
    }
}

impl Candor {
    /// Its process id.
    pub fn pid(&self) -> Result<u32> {
        self.program.pid()
    }

    /// A gRPC connection of its own.
    pub async fn channel(&self) -> Result<Channel> {
        channel(self.grpc).await
    }

    /// Who has the CPU from now on.
    pub fn watch(&self) -> Result<Watch> {
        Watch::start(self.pid()?, self.postgres)
    }

    /// Fails when it has ended.
    pub fn check(&mut self) -> Result<()> {
        self.program.check()
    }
}

/// A gRPC connection.
pub async fn channel(grpc: SocketAddr) -> Result<Channel> {
    let endpoint = Channel::from_shared(format!("http://{grpc}"))?.tcp_nodelay(true);
    Ok(endpoint.connect().await?)
}
