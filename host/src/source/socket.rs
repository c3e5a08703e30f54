//! TCP: dshost connects, again and again, or listens for any number of clients.
//!
//! A connection reads only while there is room in the source's buffer, so a sender that is faster than the job
//! waits in its own `send`. An idle one holds no memory but its own few hundred bytes. When the peer closes,
//! what came last is a record without line end; when the connection breaks, it is dropped and counted.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tracing::{debug, info, warn};

use super::OpenContext;
use super::intake::{Inlet, Intake, Received, Receiver};
use crate::batch::source::SourceError;
use crate::topology::plan::SourcePlan;

/// How long accepting pauses when the process has no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How a connection ended.
#[derive(Debug)]
enum End {
    /// The peer closed it.
    Closed,
    /// It broke.
    Broken(io::Error),
    /// The source was stopped.
    Stopped,
}

/// Connects to `address`, and after every end again, for ever; with `once` until the first end.
#[must_use]
pub fn connect(
    plan: &SourcePlan,
    address: &str,
    retry: Duration,
    context: &OpenContext,
) -> Received {
    let intake = Intake::new(plan);
    intake.set_state(format!("connecting to {address}"));
    let caller = Caller {
        source: plan.name.clone(),
        address: address.to_owned(),
        retry,
        once: context.once,
        intake: intake.clone(),
    };
    let task = context.runtime.spawn(caller.run());
    Received::new(plan, intake, Box::new(Task(task.abort_handle())))
}

/// Listens on `address`.
///
/// # Errors
///
/// The address cannot be listened on, or `once` is asked for, which has no end here.
pub fn listen(
    plan: &SourcePlan,
    address: &str,
    context: &OpenContext,
) -> Result<Received, SourceError> {
    let source = &plan.name;
    if context.once {
        return Err(SourceError {
            message: format!("source `{source}` listens, so `--once` would never end"),
            hint: Some("use `mode = \"connect\"`, or run without `--once`".into()),
        });
    }
    let failed = |error: io::Error| SourceError {
        message: format!("source `{source}` cannot listen on `{address}`: {error}"),
        hint: listen_hint(&error),
    };
    let listener = std::net::TcpListener::bind(address).map_err(failed)?;
    let local = listener.local_addr().map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let _runtime = context.runtime.enter();
    let listener = TcpListener::from_std(listener).map_err(failed)?;

    let intake = Intake::new(plan);
    intake.set_state(listening(local, 0));
    info!(%source, address = %local, "listening");
    let task = context
        .runtime
        .spawn(accept(listener, local, intake.clone()));
    Ok(Received::new(
        plan,
        intake,
        Box::new(Task(task.abort_handle())),
    ))
}

fn listen_hint(error: &io::Error) -> Option<String> {
    let hint = match error.kind() {
        io::ErrorKind::AddrInUse => {
            "another process listens there, perhaps another dshost; stop it or take another port"
        }
        io::ErrorKind::PermissionDenied => "ports below 1024 need rights; take a higher one",
        io::ErrorKind::AddrNotAvailable => {
            "this machine has no such address; `0.0.0.0:PORT` is all that it has"
        }
        _ => return None,
    };
    Some(hint.to_owned())
}

fn listening(address: SocketAddr, clients: usize) -> String {
    match clients {
        1 => format!("listening on {address}, 1 client"),
        _ => format!("listening on {address}, {clients} clients"),
    }
}

/// A task that receives; its children end with it.
struct Task(AbortHandle);

impl Receiver for Task {
    fn stop(&mut self) {
        self.0.abort();
    }
}

/// What connects.
struct Caller {
    source: String,
    address: String,
    retry: Duration,
    once: bool,
    intake: std::sync::Arc<Intake>,
}

impl Caller {
    async fn run(self) {
        let (source, address) = (&self.source, &self.address);
        // What was said last: a line per change, not per attempt.
        let mut said = None;
        loop {
            let (end, trouble) = match TcpStream::connect(address).await {
                Ok(stream) => {
                    info!(%source, %address, "connected");
                    said = None;
                    self.intake.set_state(format!("connected to {address}"));
                    match receive(&stream, self.intake.open()).await {
                        End::Stopped => return,
                        End::Closed => (true, "the peer closed the connection".to_owned()),
                        End::Broken(error) => (true, error.to_string()),
                    }
                }
                Err(error) => (false, error.to_string()),
            };
            if end && self.once {
                info!(%source, %address, reason = trouble, "connection ended");
                self.intake.set_state(format!("ended: {trouble}"));
                self.intake.complete();
                return;
            }
            if said.as_ref() != Some(&trouble) {
                let retry = self.retry;
                warn!(%source, %address, reason = trouble, ?retry, "not connected, retrying");
                self.intake
                    .set_state(format!("retrying {address}: {trouble}"));
                said = Some(trouble);
            }
            tokio::time::sleep(self.retry).await;
        }
    }
}

async fn accept(listener: TcpListener, local: SocketAddr, intake: std::sync::Arc<Intake>) {
    let mut clients = JoinSet::new();
    let mut trouble = false;
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    trouble = false;
                    debug!(%peer, "client connected");
                    let inlet = intake.open();
                    clients.spawn(async move {
                        let end = receive(&stream, inlet).await;
                        debug!(%peer, ?end, "client gone");
                    });
                }
                Err(error) => {
                    if !trouble {
                        warn!(address = %local, %error, "cannot accept a client, trying again");
                        trouble = true;
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = clients.join_next() => {}
        }
        intake.set_state(listening(local, clients.len()));
    }
}

/// Reads until the connection ends. Room is asked for only when there is something to read.
async fn receive(stream: &TcpStream, mut inlet: Inlet) -> End {
    loop {
        if let Err(error) = stream.readable().await {
            return End::Broken(error);
        }
        if inlet.room().await.is_err() {
            return End::Stopped;
        }
        match inlet.fill(|data| stream.try_read_buf(data)) {
            Some(Ok(0)) => {
                inlet.close();
                return End::Closed;
            }
            Some(Err(error)) if error.kind() == io::ErrorKind::WouldBlock => inlet.rest(),
            Some(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            Some(Err(error)) => return End::Broken(error),
            Some(Ok(_)) | None => {}
        }
        // A fast peer must not keep the others of this thread waiting.
        tokio::task::coop::consume_budget().await;
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener as StdListener, TcpStream as StdStream};

    use tokio::runtime::Runtime;

    use super::*;
    use crate::batch::source::{Cut, Source};
    use crate::source::testing::{self, context, cut_until, eventually, texts};
    use crate::topology::plan::{Format, SocketMode, Transport};

    fn plan(format: Format) -> SourcePlan {
        let transport = Transport::Socket {
            address: String::new(),
            mode: SocketMode::Listen,
            retry: Duration::from_secs(2),
        };
        testing::plan(transport, format)
    }

    struct Listening {
        source: Received,
        address: String,
        _runtime: Runtime,
    }

    fn listening(plan: &SourcePlan) -> Listening {
        let (runtime, context) = context(false);
        let source = listen(plan, "127.0.0.1:0", &context).unwrap();
        let state = source.status().state;
        let address = state
            .strip_prefix("listening on ")
            .and_then(|rest| rest.split_once(','))
            .unwrap()
            .0
            .to_owned();
        Listening {
            source,
            address,
            _runtime: runtime,
        }
    }

    fn client(listening: &Listening, bytes: &[u8]) -> StdStream {
        let mut stream = StdStream::connect(&listening.address).unwrap();
        stream.write_all(bytes).unwrap();
        stream
    }

    #[test]
    fn a_line_comes_with_the_batch_of_its_last_byte() {
        let mut listening = listening(&plan(Format::Text));
        let mut first = client(&listening, b"a\nb");
        let _idle = client(&listening, b"");
        let (lines, _) = cut_until(&mut listening.source, |lines, _| lines == ["a"]);
        assert_eq!(lines, ["a"]);
        first.write_all(b"c\nlast").unwrap();
        let (lines, _) = cut_until(&mut listening.source, |lines, _| !lines.is_empty());
        assert_eq!(lines, ["bc"]);
        drop(first);
        let (lines, _) = cut_until(&mut listening.source, |lines, _| !lines.is_empty());
        assert_eq!(lines, ["last"]);
        eventually(|| {
            listening
                .source
                .status()
                .state
                .ends_with(", 1 client")
                .then_some(())
        });
    }

    #[test]
    fn each_client_has_partitions_of_its_own() {
        let mut listening = listening(&plan(Format::Text));
        let clients: Vec<_> = [&b"a\nb\n"[..], b"c\n", b"half"]
            .map(|bytes| client(&listening, bytes))
            .into_iter()
            .collect();
        eventually(|| (listening.source.status().received_bytes == 10).then_some(()));
        let cut = listening.source.cut().unwrap();
        assert_eq!((cut.partitions.len(), cut.bytes), (2, 6));
        drop(clients);
    }

    #[test]
    fn what_a_reset_cuts_off_is_dropped_and_counted() {
        let mut listening = listening(&plan(Format::Text));
        let stream = client(&listening, b"whole\nha");
        cut_until(&mut listening.source, |lines, _| lines == ["whole"]);
        let stream = {
            let _runtime = listening._runtime.enter();
            stream.set_nonblocking(true).unwrap();
            TcpStream::from_std(stream).unwrap()
        };
        stream.set_zero_linger().unwrap();
        drop(stream);
        eventually(|| (listening.source.status().dropped_bytes == 2).then_some(()));
        assert!(listening.source.cut().unwrap().partitions.is_empty());
    }

    #[test]
    fn a_port_in_use_is_an_error_with_a_hint() {
        let taken = StdListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap().to_string();
        let (_runtime, context) = context(false);
        let error = listen(&plan(Format::Text), &address, &context)
            .err()
            .unwrap();
        assert!(
            error
                .message
                .starts_with(&format!("source `lines` cannot listen on `{address}`: ")),
            "{error}"
        );
        assert!(
            error
                .hint
                .unwrap()
                .starts_with("another process listens there")
        );
    }

    #[test]
    fn listening_has_no_end_for_once() {
        let (_runtime, context) = context(true);
        let error = listen(&plan(Format::Text), "127.0.0.1:0", &context).err();
        assert_eq!(
            error.unwrap().message,
            "source `lines` listens, so `--once` would never end"
        );
    }

    #[test]
    fn it_connects_as_soon_as_it_can_and_again_after_each_end() {
        let free = StdListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let (_runtime, context) = context(false);
        let plan = plan(Format::Text);
        let retry = Duration::from_millis(5);
        let mut source = connect(&plan, &address.to_string(), retry, &context);
        let refused = format!("retrying {address}: Connection refused");
        eventually(|| source.status().state.starts_with(&refused).then_some(()));
        let listener = StdListener::bind(address).unwrap();
        for round in ["one", "two"] {
            let (mut peer, _) = listener.accept().unwrap();
            peer.write_all(round.as_bytes()).unwrap();
            drop(peer);
            let (lines, _) = cut_until(&mut source, |lines, cut| {
                assert!(!cut.ended);
                !lines.is_empty()
            });
            assert_eq!(lines, [round]);
        }
    }

    #[test]
    fn once_ends_when_the_peer_closes() {
        let listener = StdListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (_runtime, context) = context(true);
        let retry = Duration::from_secs(2);
        let mut source = connect(&plan(Format::Text), &address, retry, &context);
        let (mut peer, _) = listener.accept().unwrap();
        peer.write_all(b"a\nb").unwrap();
        drop(peer);
        let (lines, _) = cut_until(&mut source, |_, cut| cut.ended);
        assert_eq!(lines, ["a", "b"]);
    }

    #[test]
    fn a_sender_waits_while_the_buffer_is_full() {
        const BYTES: usize = 64 << 20;
        let plan = SourcePlan {
            buffer: 1 << 20,
            ..plan(Format::Text)
        };
        let mut listening = listening(&plan);
        let mut stream = client(&listening, b"");
        let sender = std::thread::spawn(move || {
            let line = [b'x'; 63];
            let lines = [&line[..], b"\n"].concat().repeat(1024);
            for _ in 0..BYTES / lines.len() {
                stream.write_all(&lines).unwrap();
            }
        });
        let source = &mut listening.source;
        let mut waiting: Vec<Cut> = Vec::new();
        let (mut bytes, mut lines) = (0, 0);
        eventually(|| {
            let cut = source.cut().unwrap();
            bytes += cut.bytes;
            waiting.push(cut);
            let held = source.status().buffered_bytes;
            assert!(held <= 1 << 20, "{held}");
            // Nothing is released until the buffer is full.
            if held > (1 << 20) - (80 << 10) || bytes == BYTES as u64 {
                let done = waiting.drain(..);
                lines += done
                    .map(|cut| texts(&cut.partitions).0.len())
                    .sum::<usize>();
            }
            (bytes == BYTES as u64).then_some(())
        });
        sender.join().unwrap();
        assert_eq!(lines, BYTES / 64);
        assert_eq!(source.status().buffered_bytes, 0);
    }

    #[test]
    fn a_line_without_end_is_passed_over_in_flat_memory() {
        let plan = SourcePlan {
            buffer: 1 << 20,
            max_record: 64 << 10,
            ..plan(Format::Text)
        };
        let mut listening = listening(&plan);
        let mut stream = client(&listening, b"before\n");
        let sender = std::thread::spawn(move || {
            for _ in 0..256 {
                stream.write_all(&[b'x'; 1 << 18]).unwrap();
            }
            stream.write_all(b"\nafter\n").unwrap();
        });
        let (lines, rejected) = cut_until(&mut listening.source, |lines, _| lines.len() == 2);
        assert_eq!(
            (lines, rejected),
            (vec!["before".into(), "after".into()], 1)
        );
        sender.join().unwrap();
    }

    #[test]
    fn unfinished_records_cannot_stop_the_others() {
        let plan = SourcePlan {
            buffer: 256 << 10,
            ..plan(Format::Text)
        };
        let mut listening = listening(&plan);
        let hogs: Vec<_> = (0..8)
            .map(|_| {
                let mut stream = client(&listening, b"");
                std::thread::spawn(move || {
                    stream.write_all(&[b'x'; 256 << 10]).unwrap();
                    stream.write_all(b"\n").unwrap();
                })
            })
            .collect();
        let _small = client(&listening, b"small\n");
        let (lines, rejected) = cut_until(&mut listening.source, |lines, _| {
            lines.iter().any(|line| line == "small")
        });
        assert!(lines.len() as u64 + rejected <= 9);
        let mut all = lines.len() as u64 + rejected;
        cut_until(&mut listening.source, |_, cut| {
            let (lines, rejected) = texts(&cut.partitions);
            all += lines.len() as u64 + rejected;
            all == 9
        });
        hogs.into_iter().for_each(|hog| hog.join().unwrap());
    }

    #[test]
    fn a_stop_closes_all_and_ends_with_what_was_whole() {
        let mut listening = listening(&plan(Format::Text));
        let mut stream = client(&listening, b"whole\nha");
        eventually(|| (listening.source.status().received_bytes == 8).then_some(()));
        listening.source.stop();
        let (lines, _) = cut_until(&mut listening.source, |_, cut| cut.ended);
        assert_eq!(lines, ["whole"]);
        assert_eq!(listening.source.status().dropped_bytes, 2);
        stream.set_read_timeout(None).unwrap();
        assert!(matches!(stream.read(&mut [0]), Ok(0) | Err(_)));
        eventually(|| {
            StdStream::connect(&listening.address)
                .is_err()
                .then_some(())
        });
    }

    #[test]
    fn idle_clients_cost_no_buffer() {
        let mut listening = listening(&plan(Format::Text));
        // Each takes two descriptors of this process.
        let idle: Vec<_> = (0..200).map(|_| client(&listening, b"")).collect();
        let _busy = client(&listening, b"line\n");
        cut_until(&mut listening.source, |lines, _| lines == ["line"]);
        eventually(|| (listening.source.status().buffered_bytes == 0).then_some(()));
        drop(idle);
    }
}
