//! Connections, and what becomes of their requests.

use std::future::pending;
use std::io;
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt as _, AsyncWrite, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinSet;

use super::Shared;
use super::answer::{self, Answer};
use super::behaviour::Behaviour;
use super::wire::{self, Received};

/// What happens to a connection after a request.
enum Then {
    /// It was answered: the next one may come.
    GoOn,
    Close,
    Reset,
}

/// Takes connections until it is dropped, and they with it.
pub(super) async fn connections(
    listener: TcpListener,
    shared: Arc<Shared>,
    is_single_threaded: bool,
) {
    let mut connections = JoinSet::new();
    loop {
        // Those that ended are let go.
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        let connection = serve(stream, Arc::clone(&shared));
        if is_single_threaded {
            connection.await;
        } else {
            connections.spawn(connection);
        }
    }
}

/// Counts a connection as open for as long as it lives.
struct Open(Arc<Shared>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.count(|counts| counts.open -= 1);
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let mut number = 0;
    shared.count(|counts| {
        counts.connections += 1;
        counts.open += 1;
        number = counts.connections;
    });
    let _open = Open(Arc::clone(&shared));
    // Small pieces are not held back.
    stream.set_nodelay(true).ok();
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    while is_to_be_read(&mut reader, &shared).await {
        let Ok(request) = wire::read(&mut reader, number).await else {
            return;
        };
        let Some(behaviour) = shared.receive(&request) else {
            return;
        };
        let (behaviour, _place) = alone(behaviour, &request, &shared);
        let answered = tokio::select! {
            biased;
            answered = answer(&mut writer, &request, behaviour, &shared) => answered.ok(),
            () = is_gone(&mut reader) => None,
        };
        if matches!(answered, Some(Then::GoOn)) {
            shared.answered(&request);
        }
        match answered {
            Some(Then::GoOn) if request.keeps_alive() => {}
            Some(Then::GoOn | Then::Close) => return,
            Some(Then::Reset) => return reset(reader, writer),
            None => return shared.count(|counts| counts.abandoned += 1),
        }
    }
}

/// Waits for a request while the agent reads at all; false at the end of the
/// connection.
async fn is_to_be_read(reader: &mut BufReader<OwnedReadHalf>, shared: &Shared) -> bool {
    let mut is_deaf = shared.is_deaf.subscribe();
    loop {
        if is_deaf.wait_for(|is_deaf| !is_deaf).await.is_err() {
            return false;
        }
        let becomes_deaf = async { is_deaf.wait_for(|is_deaf| *is_deaf).await.is_ok() };
        tokio::select! {
            biased;
            _ = becomes_deaf => {}
            begun = reader.fill_buf() => return begun.is_ok_and(|begun| !begun.is_empty()),
        }
    }
}

/// Returns when the other side closed the connection.
async fn is_gone(reader: &mut BufReader<OwnedReadHalf>) {
    match reader.fill_buf().await {
        // The next request is there already.
        Ok(next) if !next.is_empty() => pending().await,
        _ => {}
    }
}

fn reset(reader: BufReader<OwnedReadHalf>, writer: OwnedWriteHalf) {
    if let Ok(stream) = reader.into_inner().reunite(writer) {
        // Closed without lingering, a socket sends RST.
        stream.set_zero_linger().ok();
    }
}

/// The place at an agent that does one thing at a time.
struct Place {
    shared: Arc<Shared>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.state().served = None;
    }
}

/// What becomes of a request at an agent that does one thing at a time; the place is
/// held until it was answered.
fn alone(
    behaviour: Behaviour,
    request: &Received,
    shared: &Arc<Shared>,
) -> (Behaviour, Option<Place>) {
    let Behaviour::Busy(each) = behaviour else {
        return (behaviour, None);
    };
    let Ok(permit) = Arc::clone(&shared.place).try_acquire_owned() else {
        return (Behaviour::Eof, None);
    };
    shared.state().served = Some(request.clone());
    let place = Place {
        shared: Arc::clone(shared),
        _permit: permit,
    };
    (*each, Some(place))
}

async fn answer(
    to: &mut (impl AsyncWrite + Unpin),
    request: &Received,
    mut behaviour: Behaviour,
    shared: &Shared,
) -> io::Result<Then> {
    while let Behaviour::After(pause, then) = behaviour {
        pause.over().await;
        behaviour = *then;
    }
    match behaviour {
        Behaviour::Eof => return Ok(Then::Close),
        Behaviour::Reset => return Ok(Then::Reset),
        Behaviour::Hang | Behaviour::NeverRead => pending().await,
        Behaviour::Broken => {
            Answer::json(&answer::echo(request)).write_half(to).await?;
            return Ok(Then::Close);
        }
        Behaviour::Huge(bytes) => answer::write_huge(to, request, bytes).await?,
        Behaviour::Stream(events, gate) => {
            let written = |bytes| shared.count(|counts| counts.written += bytes);
            answer::write_stream(to, request, (events, &gate), written).await?;
        }
        Behaviour::Pings(each, gate) => {
            answer::write_pings(to, request, (each, &gate)).await?;
        }
        other => whole(request, &other).write(to).await?,
    }
    Ok(Then::GoOn)
}

/// The answer of a behaviour that has one and writes it at once.
fn whole<'a>(request: &Received, behaviour: &'a Behaviour) -> Answer<'a> {
    match behaviour {
        Behaviour::Task => Answer::json(&answer::task(request)),
        Behaviour::Traced => Answer::json(&answer::traced(request)),
        Behaviour::RpcError => Answer::json(&answer::rpc_error(request)),
        Behaviour::Status {
            code,
            body,
            content_type,
            headers,
        } => Answer {
            code: *code,
            content_type,
            headers: headers.clone(),
            body: body.clone(),
        },
        Behaviour::Redirect(to) => Answer {
            code: 302,
            headers: vec![("location".to_owned(), to.clone())],
            ..Answer::text("")
        },
        Behaviour::NotJson => Answer::text("hello"),
        Behaviour::Empty => Answer {
            content_type: "application/json",
            ..Answer::text("")
        },
        _ => Answer::json(&answer::echo(request)),
    }
}
