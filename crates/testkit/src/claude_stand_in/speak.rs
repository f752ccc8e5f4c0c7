//! The protocol, spoken by a stand-in for the Claude CLI.

use std::fs;
use std::io::{Lines, StdinLock, Write as _, stdin, stdout};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal};
use serde_json::{Value, json};

use super::behaviour::Behaviour;
use super::log::Log;
use super::session;

/// The exit status of a CLI whose turn failed.
const FAILED: u8 = 1;

/// One run of the program.
pub(super) struct Speaker {
    log: Log,
    args: Vec<String>,
    session: String,
    input: Lines<StdinLock<'static>>,
}

/// Why there is nothing more to say: the exit status.
struct Over(u8);

impl Speaker {
    pub(super) fn new(log: Log, args: Vec<String>) -> Self {
        let at = args.iter().position(|arg| arg == "--resume");
        let resumed = at.and_then(|at| args.get(at + 1)).cloned();
        let new = || format!("00000000-0000-4000-8000-{:012}", std::process::id());
        Self {
            log,
            args,
            session: resumed.unwrap_or_else(new),
            input: stdin().lines(),
        }
    }

    /// The exit status.
    pub(super) fn behave(mut self, behaviour: &Behaviour) -> u8 {
        match self.turn(behaviour) {
            Ok(()) => 0,
            Err(Over(status)) => status,
        }
    }

    fn turn(&mut self, behaviour: &Behaviour) -> Result<(), Over> {
        match behaviour {
            Behaviour::NeverInitialize => self.read_for_ever()?,
            Behaviour::ExitEarly => {
                eprintln!("claude-stand-in: this machine is on fire");
                return Err(Over(3));
            }
            Behaviour::NoisyStderr => {
                for number in 0..20_000 {
                    eprintln!("complaint {number}: the printer has no paper, and nobody looks");
                }
                return Err(Over(FAILED));
            }
            Behaviour::Garbage => loop {
                say_text("PRINTER READY.\n")?;
            },
            Behaviour::UnknownSession if self.args.iter().any(|arg| arg == "--resume") => {
                let error = format!("No conversation found with session ID: {}", self.session);
                eprintln!("{error}");
                let result = json!({"subtype": "error_during_execution", "is_error": true,
                    "num_turns": 0, "errors": [error]});
                self.result(result)?;
                return Err(Over(FAILED));
            }
            _ => {}
        }
        self.initialize(behaviour)?;
        let prompt = self.prompt()?;
        self.init()?;
        self.reply(behaviour, &prompt)
    }

    fn reply(&mut self, behaviour: &Behaviour, prompt: &str) -> Result<(), Over> {
        match behaviour {
            Behaviour::NeverAnswer => self.read_for_ever(),
            Behaviour::RateLimited => self.limited(),
            Behaviour::RateLimitedOnce if first_start() => self.limited(),
            Behaviour::RateLimitedAfterTool => {
                self.tool()?;
                self.limited()
            }
            Behaviour::BadRequest => self.api_error(400, "invalid_request_error"),
            Behaviour::HugeLine => say_text(&format!("{}\n", "x".repeat(9_000_000))),
            Behaviour::AsksPermission => {
                let answers = self.ask()?;
                self.answer(&answers.to_string())
            }
            Behaviour::AsksAtLength => {
                // More than a pipe holds, in both directions at once.
                let content = "x".repeat(300_000);
                let request = json!({"subtype": "can_use_tool", "tool_name": "Write",
                    "input": {"content": content}, "tool_use_id": "toolu_1"});
                say(&json!({"type": "control_request", "request_id": "long", "request": request}))?;
                self.text(&content)?;
                self.hear()?;
                self.answer("at length")
            }
            Behaviour::Family | Behaviour::Stubborn => {
                if *behaviour == Behaviour::Stubborn {
                    // What it starts inherits that.
                    let blocked = SigSet::from(Signal::SIGTERM).thread_block();
                    blocked.map_err(|_| Over(FAILED))?;
                }
                self.start(Command::new("sleep").arg("600"))?;
                self.start(Command::new("sleep").arg("600").process_group(0))?;
                self.read_for_ever()
            }
            Behaviour::Slow(milliseconds) => {
                self.text("A moment.")?;
                sleep(Duration::from_millis(*milliseconds));
                self.answer(prompt)
            }
            _ => {
                self.tool()?;
                self.answer(prompt)
            }
        }
    }

    fn initialize(&mut self, behaviour: &Behaviour) -> Result<(), Over> {
        let request = self.hear()?;
        let id = &request["request_id"];
        let response = if *behaviour == Behaviour::RefuseInitialize {
            json!({"subtype": "error", "request_id": id, "error": "not in this mood"})
        } else {
            json!({"subtype": "success", "request_id": id, "response": {"commands": []}})
        };
        say(&json!({"type": "control_response", "response": response}))
    }

    fn prompt(&mut self) -> Result<String, Over> {
        let message = self.hear()?;
        let text = message["message"]["content"].as_str();
        Ok(text.unwrap_or_default().to_owned())
    }

    fn init(&self) -> Result<(), Over> {
        say(
            &json!({"type": "system", "subtype": "init", "session_id": self.session,
            "model": "stand-in"}),
        )
    }

    fn text(&self, text: &str) -> Result<(), Over> {
        self.message("stand-in", &json!({"type": "text", "text": text}))
    }

    fn tool(&self) -> Result<(), Over> {
        let input = json!({"command": "echo hello", "description": "Say hello"});
        self.message(
            "stand-in",
            &json!({"type": "tool_use", "id": "toolu_1", "name": "Bash",
            "input": input}),
        )?;
        let result = json!({"type": "tool_result", "tool_use_id": "toolu_1",
            "content": "hello", "is_error": false});
        say(
            &json!({"type": "user", "session_id": self.session, "parent_tool_use_id": null,
            "message": {"role": "user", "content": [result]}}),
        )
    }

    fn message(&self, model: &str, block: &Value) -> Result<(), Over> {
        say(&json!({"type": "assistant", "session_id": self.session,
            "parent_tool_use_id": null,
            "message": {"role": "assistant", "model": model, "content": [block]}}))
    }

    fn answer(&mut self, prompt: &str) -> Result<(), Over> {
        let text = format!("You said: {prompt}");
        self.text(&text)?;
        let said = |role: &str, text: &str| {
            json!({"type": role, "sessionId": self.session,
                "message": {"role": role, "content": text}})
        };
        session::keep(
            &self.session,
            &[said("user", prompt), said("assistant", &text)],
        );
        let usage = json!({"input_tokens": 12, "cache_read_input_tokens": 3, "output_tokens": 7});
        self.result(
            json!({"subtype": "success", "is_error": false, "num_turns": 2,
            "result": text, "usage": usage, "total_cost_usd": 0.001}),
        )?;
        // As the CLI: it ends when its input does.
        self.input.by_ref().for_each(drop);
        Ok(())
    }

    fn limited(&self) -> Result<(), Over> {
        say(
            &json!({"type": "system", "subtype": "api_retry", "attempt": 1, "max_retries": 10,
            "retry_delay_ms": 500, "error_status": 429, "error": "rate_limit"}),
        )?;
        self.api_error(429, "rate_limit_error")
    }

    /// Told as a message of the agent's and as a result, as by the CLI.
    fn api_error(&self, status: u16, kind: &str) -> Result<(), Over> {
        let text = format!("API Error: Request rejected ({status})");
        self.message("<synthetic>", &json!({"type": "text", "text": text}))?;
        self.result(
            json!({"subtype": "success", "is_error": true, "num_turns": 1,
            "result": text, "api_error_status": status, "api_error_type": kind}),
        )?;
        Err(Over(FAILED))
    }

    fn result(&self, mut result: Value) -> Result<(), Over> {
        result["type"] = "result".into();
        result["session_id"] = self.session.as_str().into();
        say(&result)
    }

    /// What it is answered: for a tool, for a hook, for what does not exist.
    fn ask(&mut self) -> Result<Value, Over> {
        let requests = [
            json!({"subtype": "can_use_tool", "tool_name": "Bash",
                "input": {"command": "rm -r target"}, "tool_use_id": "toolu_1"}),
            json!({"subtype": "hook_callback", "callback_id": "hook_0", "input": {}}),
            json!({"subtype": "sing"}),
        ];
        let mut answers = Vec::new();
        for (number, request) in requests.into_iter().enumerate() {
            let id = format!("request-{number}");
            say(&json!({"type": "control_request", "request_id": id, "request": request}))?;
            let answer = self.hear()?["response"].take();
            if answer["request_id"] != id {
                return Err(Over(FAILED));
            }
            let behavior = &answer["response"]["behavior"];
            answers.push(if behavior.is_null() {
                answer["subtype"].clone()
            } else {
                behavior.clone()
            });
        }
        Ok(answers.into())
    }

    fn start(&self, command: &mut Command) -> Result<(), Over> {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        self.log.child(child.map_err(|_| Over(FAILED))?.id());
        Ok(())
    }

    /// The next line that it is told, logged.
    fn hear(&mut self) -> Result<Value, Over> {
        let line = self.input.next().and_then(Result::ok).ok_or(Over(0))?;
        let line = serde_json::from_str(&line).unwrap_or(Value::String(line));
        self.log.told(&line);
        Ok(line)
    }

    /// Keeps running, also when its input has ended.
    fn read_for_ever(&mut self) -> Result<(), Over> {
        while self.hear().is_ok() {}
        loop {
            sleep(Duration::from_secs(60));
        }
    }
}

/// Whether this is the first one to ask; it leaves a file.
fn first_start() -> bool {
    let state = std::env::var("CLAUDE_STAND_IN_STATE").unwrap_or_default();
    let first = !fs::exists(&state).unwrap_or(true);
    fs::write(&state, "started").ok();
    first
}

fn say(line: &Value) -> Result<(), Over> {
    say_text(&format!("{line}\n"))
}

/// Ends the program when nobody listens.
fn say_text(text: &str) -> Result<(), Over> {
    let mut out = stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|_| Over(FAILED))
}
