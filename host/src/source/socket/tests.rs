//! What the source `socket` promises, on real sockets.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener as StdListener, TcpStream as StdStream};

use tokio::runtime::Runtime;

use super::*;
use crate::batch::position::PartName;
use crate::batch::source::{Cut, Source};
use crate::source::Behind;
use crate::source::testing::{self, context, cut_until, data, eventually, texts};
use crate::topology::plan::Format;

fn plan(format: Format) -> SourcePlan {
    testing::plan(format)
}

fn calling(address: &str, retry: Duration) -> SocketKeys {
    SocketKeys {
        address: address.to_owned(),
        mode: SocketMode::Connect,
        retry,
        ack: false,
    }
}

struct Listening {
    source: Received,
    address: String,
    _runtime: Runtime,
}

fn listening(plan: &SourcePlan) -> Listening {
    listening_behind(plan, None)
}

fn listening_behind(plan: &SourcePlan, behind: Option<Arc<Behind>>) -> Listening {
    let (runtime, context) = context(false);
    let context = OpenContext { behind, ..context };
    let source = listen(plan, "127.0.0.1:0", &context).unwrap();
    let state = source.health().state;
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
            .health()
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
    eventually(|| (listening.source.health().received_bytes == 10).then_some(()));
    let cut = listening.source.cut().unwrap();
    assert_eq!((cut.parts.len(), cut.bytes), (2, 6));
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
    eventually(|| (listening.source.health().dropped_bytes == 2).then_some(()));
    assert!(listening.source.cut().unwrap().parts.is_empty());
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
    let keys = calling(&address.to_string(), Duration::from_millis(5));
    let mut source = connect(&plan, &keys, &context).unwrap();
    let refused = format!("retrying {address}: nothing listens there yet");
    eventually(|| source.health().state.starts_with(&refused).then_some(()));
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
    let keys = calling(&address, Duration::from_secs(2));
    let mut source = connect(&plan(Format::Text), &keys, &context).unwrap();
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
        let held = source.health().buffered_bytes;
        assert!(held <= 1 << 20, "{held}");
        // Nothing is released until the buffer is full.
        if held > (1 << 20) - (80 << 10) || bytes == BYTES as u64 {
            let done = waiting.drain(..);
            lines += done
                .map(|cut| texts(&data(&cut.parts)).0.len())
                .sum::<usize>();
        }
        (bytes == BYTES as u64).then_some(())
    });
    sender.join().unwrap();
    assert_eq!(lines, BYTES / 64);
    assert_eq!(source.health().buffered_bytes, 0);
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
        let (lines, rejected) = texts(&data(&cut.parts));
        all += lines.len() as u64 + rejected;
        all == 9
    });
    hogs.into_iter().for_each(|hog| hog.join().unwrap());
}

#[test]
fn a_stop_closes_all_and_ends_with_what_was_whole() {
    let mut listening = listening(&plan(Format::Text));
    let mut stream = client(&listening, b"whole\nha");
    eventually(|| (listening.source.health().received_bytes == 8).then_some(()));
    listening.source.stop();
    let (lines, _) = cut_until(&mut listening.source, |_, cut| cut.ended);
    assert_eq!(lines, ["whole"]);
    assert_eq!(listening.source.health().dropped_bytes, 2);
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
    eventually(|| (listening.source.health().buffered_bytes == 0).then_some(()));
    drop(idle);
}

/// A plan whose senders are told what is durable.
fn telling() -> SourcePlan {
    SourcePlan {
        transport: Arc::new(SocketKeys {
            mode: SocketMode::Listen,
            ack: true,
            ..calling("127.0.0.1:0", Duration::ZERO)
        }),
        ..plan(Format::Text)
    }
}

/// A sender, and what it is told.
fn sender(listening: &Listening, name: &str) -> (StdStream, BufReader<StdStream>) {
    let stream = client(listening, format!("{name}\n").as_bytes());
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    let reader = BufReader::new(stream.try_clone().unwrap());
    (stream, reader)
}

fn told(reader: &mut BufReader<StdStream>) -> String {
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    line
}

/// What a sender is told by whose name there was another connection, of which the next cut is the end.
fn told_after_a_cut(listening: &mut Listening, reader: &mut BufReader<StdStream>) -> String {
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| told(reader));
        eventually(|| {
            assert!(listening.source.cut().unwrap().parts.is_empty());
            reading.is_finished().then_some(())
        });
        reading.join().unwrap()
    })
}

/// The last part of what is cut until these lines have come, which is durable then.
fn durable(listening: &mut Listening, expected: &[&str]) -> PartName {
    let (mut last, mut upto) = (None, Vec::new());
    cut_until(&mut listening.source, |lines, cut| {
        last = cut
            .parts
            .last()
            .map(|part| part.name.clone())
            .or(last.take());
        upto.extend(cut.positions());
        lines == expected
    });
    listening.source.durable(&upto);
    last.unwrap()
}

#[test]
fn a_sender_is_told_what_is_durable_and_goes_on_from_there() {
    let mut listening = listening_behind(&telling(), Some(Arc::default()));
    let (mut stream, mut reader) = sender(&listening, "me");
    assert_eq!(told(&mut reader), "0\n");
    stream.write_all(b"a\nb\nhalf").unwrap();
    durable(&mut listening, &["a", "b"]);
    assert_eq!(told(&mut reader), "4\n");
    // What was half a line is sent again.
    drop((stream, reader));
    let (mut stream, mut reader) = sender(&listening, "me");
    assert_eq!(told_after_a_cut(&mut listening, &mut reader), "4\n");
    stream.write_all(b"half and more\nlast\nrest").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    // The end of what it sends is told, too.
    let last = durable(&mut listening, &["half and more", "last"]);
    assert_eq!(told(&mut reader), "23\n");
    assert_eq!(told(&mut reader), "", "then the connection is closed");
    assert!(listening.source.health().dropped_bytes >= 4);
    // And a later start of the job goes on.
    let behind = Behind::from([("lines".to_owned(), vec![last])]);
    let mut later = listening_behind(&telling(), Some(Arc::new(behind)));
    let (mut stream, mut reader) = sender(&later, "me");
    assert_eq!(told(&mut reader), "23\n");
    stream.write_all(b"on\n").unwrap();
    let part = durable(&mut later, &["on"]);
    assert_eq!(
        (part.lane.0.as_str(), part.upto.as_number()),
        ("sender me", Some(26))
    );
}

#[test]
fn a_sender_that_connects_again_ends_its_old_connection() {
    let mut listening = listening_behind(&telling(), Some(Arc::default()));
    let (mut old, mut reader) = sender(&listening, "me");
    assert_eq!(told(&mut reader), "0\n");
    old.write_all(b"a\n").unwrap();
    durable(&mut listening, &["a"]);
    assert_eq!(told(&mut reader), "2\n");
    let (mut new, mut second) = sender(&listening, "me");
    assert_eq!(told_after_a_cut(&mut listening, &mut second), "2\n");
    assert_eq!(told(&mut reader), "");
    new.write_all(b"b\n").unwrap();
    durable(&mut listening, &["b"]);
    assert_eq!(told(&mut second), "4\n");
}

#[test]
fn a_peer_without_a_name_is_sent_away() {
    let listening = listening_behind(&telling(), Some(Arc::default()));
    for bytes in [&b"\n"[..], b"\xff\n", &[b'x'; 300]] {
        let mut stream = client(&listening, bytes);
        let mut rest = Vec::new();
        // It may be reset, because not all of it was read.
        let _ = stream.read_to_end(&mut rest);
        assert!(rest.is_empty());
    }
    let (_runtime, context) = context(false);
    let error = listen(&telling(), "127.0.0.1:0", &context).err().unwrap();
    assert!(
        error.message.contains("nothing of the job survives"),
        "{error}"
    );
}
