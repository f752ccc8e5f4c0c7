//! A Postgres of the benchmark's own: durable, counting statements, gone at the end.

use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use std::{env, fs};

use nix::sys::signal::Signal;
use nix::unistd::{Uid, User};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::Result;
use crate::program::{Program, Programs};

/// The role that measures; statements of it are not counted.
pub const METER: &str = "bench";
/// The role of what is measured.
pub const ROLE: &str = "candor";

const READY: Duration = Duration::from_secs(30);
const LOG: &str = "postgres";
/// The longest path of a socket, less its file's name.
const LONGEST_SOCKET: usize = 107 - "/.s.PGSQL.5432".len();

/// All else is Postgres' default. Checkpoints are rare, so that no round pays
/// for another's full-page images.
const SETTINGS: [&str; 7] = [
    "listen_addresses=",
    "unix_socket_permissions=0700",
    "fsync=on",
    "synchronous_commit=on",
    "full_page_writes=on",
    "checkpoint_timeout=30min",
    "max_wal_size=4GB",
];

/// A running server.
#[derive(Debug)]
pub struct Postgres {
    program: Program,
    folder: PathBuf,
    /// Its version, in its own words.
    pub version: String,
    /// Whether it counts statements.
    pub counts_statements: bool,
}

/// Who runs Postgres, which refuses root.
struct Owner(Option<User>);

impl Postgres {
    /// Makes a cluster under `folder` and starts it.
    pub async fn start(folder: &Path, programs: &Programs) -> Result<Self> {
        let folder = folder.join("pg");
        if folder.as_os_str().len() > LONGEST_SOCKET {
            return Err(
                "the path of the temporary folder is too long for a socket; set TMPDIR".into(),
            );
        }
        let owner = Owner::find()?;
        fs::create_dir(&folder)?;
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755))?;
        owner.own(&folder)?;
        let binaries = binaries()?;
        let data = folder.join("data");
        let mut initdb = owner.command(&binaries.join("initdb"));
        initdb.arg("-D").arg(&data);
        initdb.args(["-U", METER, "--auth=trust", "--encoding=UTF8", "--locale=C"]);
        programs.complete("initdb", initdb).await?;

        let server = |counting: bool| {
            let mut command = owner.command(&binaries.join("postgres"));
            command.arg("-D").arg(&data).arg("-k").arg(&folder);
            for setting in SETTINGS {
                command.args(["-c", setting]);
            }
            if counting {
                command.args(["-c", "shared_preload_libraries=pg_stat_statements"]);
            }
            command
        };
        let options = options(&folder, METER, "postgres");
        let mut counts_statements = true;
        let mut program = programs.spawn(LOG, server(true))?;
        if answers(&options, &mut program).await.is_err() {
            // The usual reason: the package with the extension is not there.
            counts_statements = false;
            program = programs.spawn(LOG, server(false))?;
            if let Err(error) = answers(&options, &mut program).await {
                return Err(programs.failure(LOG, &error.to_string()));
            }
        }
        let version = prepare(&options, counts_statements).await?;
        Ok(Self {
            program,
            folder,
            version,
            counts_statements,
        })
    }

    /// Makes a database and returns its URL, for the measured role.
    pub async fn database(&self, name: &str) -> Result<String> {
        let mut connection = PgConnection::connect_with(&self.meter("postgres")).await?;
        let statement = format!("CREATE DATABASE {name} OWNER {ROLE}");
        sqlx::query(AssertSqlSafe(statement))
            .execute(&mut connection)
            .await?;
        connection.close().await?;
        let folder = self.folder.display();
        Ok(format!("postgres://{ROLE}@localhost/{name}?host={folder}"))
    }

    /// The process id of the server, whose children the backends are.
    pub fn pid(&self) -> Result<u32> {
        self.program.pid()
    }

    /// How the meter connects to a database.
    pub fn meter(&self, database: &str) -> PgConnectOptions {
        options(&self.folder, METER, database)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // The data goes with it: no need to shut down in order.
        if let Err(error) = self.program.stop(Signal::SIGQUIT) {
            eprintln!("bench: {error}");
        }
    }
}

impl Owner {
    fn find() -> Result<Self> {
        if !Uid::effective().is_root() {
            return Ok(Self(None));
        }
        for name in ["postgres", "nobody"] {
            if let Some(user) = User::from_name(name)? {
                return Ok(Self(Some(user)));
            }
        }
        Err("Postgres refuses root, and there is no user postgres or nobody".into())
    }

    fn own(&self, path: &Path) -> Result<()> {
        if let Some(user) = &self.0 {
            chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw()))?;
        }
        Ok(())
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir("/").env_remove("PGDATA");
        if let Some(user) = &self.0 {
            command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
        }
        command
    }
}

fn options(folder: &Path, role: &str, database: &str) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass()
        .socket(folder)
        .port(5432)
        .username(role)
        .database(database)
}

async fn answers(options: &PgConnectOptions, server: &mut Program) -> Result<()> {
    let deadline = Instant::now() + READY;
    loop {
        server.check()?;
        match PgConnection::connect_with(options).await {
            Ok(connection) => return Ok(connection.close().await?),
            Err(error) if Instant::now() >= deadline => return Err(error.into()),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn prepare(options: &PgConnectOptions, counts_statements: bool) -> Result<String> {
    let mut connection = PgConnection::connect_with(options).await?;
    if counts_statements {
        sqlx::query("CREATE EXTENSION pg_stat_statements")
            .execute(&mut connection)
            .await?;
    }
    let role = format!("CREATE ROLE {ROLE} LOGIN");
    sqlx::query(AssertSqlSafe(role))
        .execute(&mut connection)
        .await?;
    let version = sqlx::query_scalar("SHOW server_version")
        .fetch_one(&mut connection)
        .await?;
    connection.close().await?;
    Ok(version)
}

/// The folder of `initdb` and `postgres`.
fn binaries() -> Result<PathBuf> {
    if let Some(named) = env::var_os("CANDOR_PG_BIN") {
        return Ok(named.into());
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path)
        .map(|folder| folder.join("initdb"))
        .find_map(|initdb| fs::canonicalize(initdb).ok());
    if let Some(folder) = found.as_deref().and_then(Path::parent) {
        return Ok(folder.to_owned());
    }
    let newest = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .map(|version| {
            (
                version,
                PathBuf::from(format!("/usr/lib/postgresql/{version}/bin")),
            )
        })
        .filter(|(_, folder)| folder.join("initdb").is_file())
        .max();
    newest
        .map(|(_, folder)| folder)
        .ok_or_else(|| "no initdb; run `make setup`, or set CANDOR_PG_BIN".into())
}
