//! Asks a running platform what the original was asked, and compares.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::expected::{Expectation, Expectations};
use super::extra::without_extra;
use super::line::{Exchange, Line};
use super::pending::pending;
use super::stored::{StoredEvents, persisted};
use super::stub::{self, Stub};
use super::variables::Variables;
use crate::http::{Answer, Call, Client, ClientError};

/// How long event rows may take after the answer; a row that is written in the
/// request's own transaction is there at once.
const ROWS: Duration = Duration::from_secs(3);
/// How long what a read shows may take to become so: messages end, and are tried
/// again, after the answer that began them.
const SETTLED: Duration = Duration::from_secs(15);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// The replay could not go on; nothing is said about the platform.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// No answer at all.
    #[error("{story} n={n}: {source}")]
    Unanswered {
        /// The story.
        story: String,
        /// The line.
        n: u32,
        /// Why.
        source: ClientError,
    },
    /// There is no room for the stub agent.
    #[error("the stub agent: {0}")]
    Stub(#[from] std::io::Error),
    /// Postgres refused a statement.
    #[error(transparent)]
    Sql(#[from] sqlx::Error),
    /// The recording asks for an HTTP method that does not exist.
    #[error("{0}")]
    Method(#[from] http::method::InvalidMethod),
}

/// What came out.
#[derive(Debug, Default)]
pub struct Report {
    /// Requests that agreed with the recording.
    pub agreed: usize,
    /// Requests that deviated as expected.
    pub deviated: usize,
    /// Requests that wait for a later step.
    pub pending: usize,
    /// Everything else, for people.
    pub differences: Vec<String>,
}

/// One replay against one platform.
#[derive(Debug)]
pub struct Replay {
    client: Client,
    connection: PgConnection,
    events: StoredEvents,
    expectations: Expectations,
    stub: Stub,
    variables: Variables,
    report: Report,
}

impl Replay {
    /// `http` is an open listener of a platform on a fresh data directory,
    /// `database_url` its Postgres.
    ///
    /// # Errors
    /// [`ReplayError::Sql`].
    pub async fn new(
        http: SocketAddr,
        database_url: &str,
        expectations: Expectations,
    ) -> Result<Self, ReplayError> {
        Ok(Self {
            client: Client::new(http),
            connection: PgConnection::connect(database_url).await?,
            events: StoredEvents::connect(database_url).await?,
            expectations,
            stub: Stub::start().await?,
            variables: Variables::default(),
            report: Report::default(),
        })
    }

    /// Plays all lines in order.
    ///
    /// # Errors
    /// [`ReplayError`] when the platform does not answer at all.
    pub async fn run(mut self, lines: &[Line]) -> Result<Report, ReplayError> {
        let mut story = "";
        for line in lines {
            if line.story != story {
                story = &line.story;
                self.begin().await?;
            }
            if let Some(sql) = &line.sql {
                let sql = AssertSqlSafe(self.variables.fill(sql));
                sqlx::raw_sql(sql).execute(&mut self.connection).await?;
            } else if let Some(exchange) = &line.exchange {
                self.ask(line, exchange).await?;
            }
        }
        Ok(self.report)
    }

    /// A story begins with no workspaces and no variables but the address.
    async fn begin(&mut self) -> Result<(), ReplayError> {
        self.variables = Variables::default();
        let base = self.client.addr().to_string();
        self.variables.set("BASE", base);
        self.stub.begin(&mut self.variables);
        let all = self.send("(begin)", 0, Call::get("/workspaces")).await?;
        for workspace in all.json().as_array().into_iter().flatten() {
            let id = workspace["id"].as_str().unwrap_or_default();
            let target = format!("/workspaces/{id}?confirm=true");
            let delete = Call::new(http::Method::DELETE, target);
            self.send("(begin)", 0, delete).await?;
        }
        self.events.take(&self.variables).await?;
        Ok(())
    }

    async fn send(&mut self, story: &str, n: u32, call: Call) -> Result<Answer, ReplayError> {
        let unanswered = |source| ReplayError::Unanswered {
            story: story.to_owned(),
            n,
            source,
        };
        self.client.send(call).await.map_err(unanswered)
    }

    async fn ask(&mut self, line: &Line, exchange: &Exchange) -> Result<(), ReplayError> {
        let deadline = Instant::now() + SETTLED;
        let may_wait = exchange.method == "GET" && pending(&line.story, line.n).is_none();
        let mut found = self.ask_once(line, exchange).await?;
        while !found.is_empty() && may_wait && Instant::now() < deadline {
            tokio::time::sleep(LOOK).await;
            found = self.ask_once(line, exchange).await?;
        }
        let expected = self.expectations.of(&line.story, line.n);
        let deviates = expected.is_some();
        let wanted = match (expected, &line.events) {
            (Some(expected), _) => Some(expected.events.clone()),
            (None, Some(recorded)) => Some(persisted(recorded)),
            (None, None) => None,
        };
        found.extend(self.compare_rows(wanted).await?);
        self.settle(line, exchange, deviates, found);
        Ok(())
    }

    async fn ask_once(
        &mut self,
        line: &Line,
        exchange: &Exchange,
    ) -> Result<Vec<String>, ReplayError> {
        let expected = self.expectations.of(&line.story, line.n);
        if exchange.to.is_some() {
            return Ok(self.compare_sent(expected, exchange));
        }
        let call = self.call(exchange)?;
        let answer = self.send(&line.story, line.n, call).await?;
        for (name, path) in &exchange.save {
            self.variables.save(name, path, &answer.json());
        }
        let expected = self.expectations.of(&line.story, line.n);
        Ok(match (expected, &exchange.deviates) {
            (Some(expected), _) => compare_expected(expected, exchange, &answer, &self.variables),
            (None, Some(row)) => vec![format!("deviates by {row}, but nothing is expected")],
            (None, None) => compare_recorded(exchange, &answer, &self.variables),
        })
    }

    /// What the stub agent was last sent: path and value.
    fn compare_sent(&self, expected: Option<&Expectation>, exchange: &Exchange) -> Vec<String> {
        let sent = self.variables.normalise(&self.stub.last().to_string());
        if let Some(expected) = expected {
            return expected.check(&sent).err().into_iter().collect();
        }
        let recorded = stub::recorded(&exchange.answer);
        let value = serde_json::from_str(&sent).unwrap_or(Value::Null);
        match same_value(&value, &recorded) {
            true => Vec::new(),
            false => vec![format!("the agent was sent {sent}\n  recorded {recorded}")],
        }
    }

    fn call(&self, exchange: &Exchange) -> Result<Call, ReplayError> {
        let method = http::Method::from_bytes(exchange.method.as_bytes())?;
        let mut call = Call::new(method, self.variables.fill(&exchange.path));
        for (name, value) in &exchange.headers {
            call = call.header(name, self.variables.fill(value));
        }
        if let Some(body) = &exchange.body {
            call = call.body(self.variables.fill(body));
        }
        Ok(call)
    }

    /// The rows that this request left; all of them are taken, so that they are
    /// not mistaken for the next request's.
    async fn compare_rows(
        &mut self,
        wanted: Option<Vec<String>>,
    ) -> Result<Option<String>, ReplayError> {
        let mut rows = self.events.take(&self.variables).await?;
        let Some(wanted) = wanted else {
            return Ok(None);
        };
        let deadline = Instant::now() + ROWS;
        while rows.len() < wanted.len() && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(10)).await;
            rows.extend(self.events.take(&self.variables).await?);
            rows.sort();
        }
        Ok((rows != wanted).then(|| format!("event rows {rows:?}\n  wanted {wanted:?}")))
    }

    fn settle(&mut self, line: &Line, exchange: &Exchange, deviates: bool, found: Vec<String>) {
        let place = format!(
            "{} n={} {} {}",
            line.story, line.n, exchange.method, exchange.path
        );
        match (pending(&line.story, line.n), found.is_empty()) {
            (Some(_), false) => self.report.pending += 1,
            (Some(entry), true) => self.report.differences.push(format!(
                "{place}: agrees already; take it off the list of step {}",
                entry.step
            )),
            (None, true) if deviates => self.report.deviated += 1,
            (None, true) => self.report.agreed += 1,
            (None, false) => {
                let differences = found.join("\n  ");
                self.report
                    .differences
                    .push(format!("{place}\n  {differences}"));
            }
        }
    }
}

fn compare_expected(
    expected: &Expectation,
    exchange: &Exchange,
    answer: &Answer,
    variables: &Variables,
) -> Vec<String> {
    let mut found = Vec::new();
    if !expected.status.allows(answer.status) {
        found.push(format!(
            "status {}, expected {:?}",
            answer.status, expected.status
        ));
    }
    let allowed = exchange.candor_status.as_ref().map_or_else(
        || answer.status == exchange.status,
        |statuses| statuses.allows(answer.status),
    );
    if !allowed {
        found.push(format!(
            "status {} is not one the row allows",
            answer.status
        ));
    }
    let mut body = answer.text();
    if let Some(wanted) = &expected.answer {
        body = without_extra(&body, wanted);
    }
    found.extend(expected.check(&variables.normalise(&body)).err());
    found
}

fn compare_recorded(exchange: &Exchange, answer: &Answer, variables: &Variables) -> Vec<String> {
    let mut found = Vec::new();
    if answer.status != exchange.status {
        found.push(format!(
            "status {}, recorded {}",
            answer.status, exchange.status
        ));
    }
    let body = without_extra(&answer.text(), &exchange.answer);
    let body = variables.normalise(&body);
    if !same_body(exchange, &body, answer.status) {
        let recorded = &exchange.answer;
        found.push(format!("answered {body}\n  recorded {recorded}"));
    }
    let content_type = answer.header("content-type");
    if content_type != exchange.content_type {
        let recorded = &exchange.content_type;
        found.push(format!(
            "content-type {content_type:?}, recorded {recorded:?}"
        ));
    }
    for (name, recorded) in &exchange.answer_headers {
        let value = variables.normalise(&answer.header(name));
        if value != *recorded {
            found.push(format!("header {name} {value:?}, recorded {recorded:?}"));
        }
    }
    found
}

fn same_body(exchange: &Exchange, body: &str, status: u16) -> bool {
    let value = |text: &str| serde_json::from_str::<Value>(text).ok();
    if exchange.unordered {
        return multiset(body).is_some() && multiset(body) == multiset(&exchange.answer);
    }
    // Stored bodies are compared by value: their member order is not a promise.
    // An agent's answers are the stub's, whose spaces are its own.
    let stored = ["/activity", "/session-search", "/delegations", "/a2a"];
    if status < 300 && stored.iter().any(|part| exchange.path.contains(part)) {
        return match (value(body), value(&exchange.answer)) {
            (Some(given), Some(recorded)) => same_value(&given, &recorded),
            _ => false,
        };
    }
    body == exchange.answer
}

/// The same JSON value: `1.0` is `1`, since the original rewrote stored numbers.
fn same_value(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_value(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            let same = |(name, value): (&String, &Value)| {
                b.get(name).is_some_and(|other| same_value(value, other))
            };
            a.len() == b.len() && a.iter().all(same)
        }
        (a, b) => a == b,
    }
}

/// A list's items as sorted texts with sorted keys.
fn multiset(text: &str) -> Option<Vec<String>> {
    let items: Vec<Value> = serde_json::from_str(text).ok()?;
    let mut items: Vec<String> = items.iter().map(Value::to_string).collect();
    items.sort();
    Some(items)
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
