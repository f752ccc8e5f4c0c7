//! A workspace's instance and the backends, as their provisioner tells.

use candor_proto::provisioner::v1 as pb;
use serde_json::{Value, json};

use super::reach::{ReachArgs, told_by_provisioner};
use super::show;

/// How far a workspace's instance is, if there is a provisioner where the registry is.
pub async fn instance(reach: &ReachArgs, id: &str) -> Option<pb::ExplainInstanceResponse> {
    let request = pb::ExplainInstanceRequest { id: id.to_owned() };
    let request = reach.request(request).ok()?;
    let mut client = reach.provisioner().await.ok()?;
    let told = client.explain_instance(request).await.ok()?.into_inner();
    (!told.backend.is_empty()).then_some(told)
}

/// What can run instances; `None` if there is no provisioner where the registry is.
pub async fn backends(reach: &ReachArgs) -> Result<Option<Vec<pb::BackendState>>, String> {
    let words = |error: Box<dyn std::error::Error>| error.to_string();
    let mut client = reach.provisioner().await.map_err(words)?;
    let mut request = reach.request(pb::ListBackendsRequest {}).map_err(words)?;
    // Each backend is asked for some seconds, side by side.
    request.set_timeout(super::reach::DEADLINE * 2);
    match client.list_backends(request).await {
        Ok(told) => Ok(Some(told.into_inner().backends)),
        Err(status) if status.code() == tonic::Code::Unimplemented => Ok(None),
        Err(status) => Err(told_by_provisioner(&status)),
    }
}

/// A backend in one line, and whether it is as its settings want it.
pub fn state(backend: &pb::BackendState) -> (bool, String) {
    let runtimes = backend.runtimes.join(", ");
    let problem = show::line(&backend.problem);
    match (backend.runtimes.is_empty(), problem.is_empty()) {
        (false, true) => (
            true,
            format!("runs {runtimes}; they call {}", backend.platform_url),
        ),
        (false, false) => (false, format!("is to run {runtimes}, but {problem}")),
        // Nothing is placed on it, so nothing fails for it.
        (true, false) => (true, format!("runs nothing: {problem}")),
        (true, true) => (true, "runs nothing: no runtime is named".to_owned()),
    }
}

/// An instance for people.
pub fn print(told: &pb::ExplainInstanceResponse) {
    println!("  instance      {}", words(told));
    if !told.url.is_empty() {
        println!("                reached at {}", show::line(&told.url));
    }
    if !told.last_error.is_empty() {
        println!(
            "                last error: {}",
            show::line(&told.last_error)
        );
    }
    println!("                {}", budget(told));
    if told.steps.is_empty() {
        return;
    }
    println!("  steps, newest first");
    for step in &told.steps {
        println!("                {}", step_line(step));
    }
}

/// Which backend, what is wanted, and how far it is.
fn words(told: &pb::ExplainInstanceResponse) -> String {
    let mut words = format!(
        "{}: {} wanted, epoch {}",
        told.backend, told.want, told.epoch
    );
    if told.want == "running" {
        words.push_str(match (told.handed.as_str(), told.called) {
            ("nothing", _) => "; no token handed over yet",
            ("verified", _) => "; its token is written and read back",
            (_, false) => "; started, has not called yet",
            (_, true) => "; started, has called",
        });
    }
    if told.halted {
        words.push_str("; given up, until it is restarted");
    } else if told.attempts > 0 {
        let next = show::until(told.next_at.as_ref());
        words.push_str(&format!(
            "; {} failed attempt(s), the next in {next}",
            told.attempts
        ));
    }
    words
}

fn budget(told: &pb::ExplainInstanceResponse) -> String {
    let window = told.restart_window.as_ref().map_or(0, |span| span.seconds);
    format!(
        "{} of {} restarts that nobody asked for, within {}",
        told.restarts.len(),
        told.restart_budget,
        show::long(window)
    )
}

fn step_line(step: &pb::InstanceStep) -> String {
    let took = step.took.as_ref().map_or(0, millis);
    format!(
        "{:>5} ago  epoch {}  {} {} in {took} ms  {}",
        show::ago(step.at.as_ref()),
        step.epoch,
        step.step,
        step.outcome,
        show::line(&step.detail)
    )
}

fn millis(took: &prost_types::Duration) -> i64 {
    took.seconds
        .saturating_mul(1000)
        .saturating_add(i64::from(took.nanos / 1_000_000))
}

/// An instance for programs.
pub fn to_json(told: &pb::ExplainInstanceResponse) -> Value {
    let restarts = told.restarts.iter();
    let window = told.restart_window.as_ref().map_or(0, |span| span.seconds);
    json!({
        "backend": told.backend,
        "want": told.want,
        "epoch": told.epoch,
        "handed": told.handed,
        "called": told.called,
        "halted": told.halted,
        "url": told.url,
        "last_error": told.last_error,
        "attempts": told.attempts,
        "next_at": show::rfc3339(told.next_at.as_ref()),
        "restarts": restarts.map(|at| show::rfc3339(Some(at))).collect::<Vec<_>>(),
        "restart_budget": told.restart_budget,
        "restart_window_seconds": window,
        "steps": told.steps.iter().map(|step| json!({
            "at": show::rfc3339(step.at.as_ref()), "epoch": step.epoch, "step": step.step,
            "outcome": step.outcome, "detail": step.detail,
            "took_ms": step.took.as_ref().map_or(0, millis),
        })).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backend(runtimes: &[&str], problem: &str) -> pb::BackendState {
        pb::BackendState {
            name: "docker".into(),
            runtimes: runtimes.iter().map(|&name| name.to_owned()).collect(),
            problem: problem.into(),
            platform_url: "http://172.17.0.1:8081".into(),
        }
    }

    #[test]
    fn only_a_backend_that_is_to_run_something_and_cannot_is_wrong() {
        let (good, words) = state(&backend(&["hermes"], ""));
        assert!(good && words.contains("hermes") && words.contains("172.17.0.1:8081"));
        let (good, words) = state(&backend(&["hermes"], "start the engine"));
        assert!(!good && words.contains("start the engine"));
        let (good, words) = state(&backend(&[], "add --http-enforced"));
        assert!(good && words.contains("runs nothing: add --http-enforced"));
    }

    #[test]
    fn an_instance_says_how_far_it_is_and_what_it_waits_for() {
        let mut told = pb::ExplainInstanceResponse {
            backend: "process".into(),
            want: "running".into(),
            epoch: 4,
            handed: "started".into(),
            attempts: 2,
            restart_budget: 3,
            restart_window: Some(prost_types::Duration {
                seconds: 600,
                nanos: 0,
            }),
            ..pb::ExplainInstanceResponse::default()
        };
        let shown = words(&told);
        assert!(
            shown.contains("epoch 4; started, has not called yet"),
            "{shown}"
        );
        assert!(
            shown.contains("2 failed attempt(s), the next in now"),
            "{shown}"
        );
        assert_eq!(
            budget(&told),
            "0 of 3 restarts that nobody asked for, within 10m"
        );
        told.halted = true;
        assert!(words(&told).contains("given up"));
        told.want = "stopped".into();
        assert!(!words(&told).contains("has not called"));
        assert_eq!(to_json(&told)["restart_window_seconds"], 600);
    }
}
