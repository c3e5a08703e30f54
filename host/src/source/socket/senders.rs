//! Senders that are told what is durable (`ack = true`), and go on from there after every break.
//!
//! A peer's first line is its name. It is answered with the number of its bytes that survive the
//! process, as a decimal line, and again after each batch that makes more of them durable. Who sends
//! what lies behind the last number that it was told loses nothing and doubles nothing, however often
//! either side dies. A record counts once its end has come, also at the end of a connection: whoever
//! dies within one sends it again. The bytes of a name are one lane, over all its connections and all starts.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::watch;
use tracing::warn;

use super::End;
use crate::batch::position::{LaneName, PartName, Position};
use crate::batch::source::{Part, SourceError};
use crate::source::bytes::intake::{Inlet, Intake};

/// The longest name, in bytes.
const MAX_NAME: usize = 200;

/// How long a peer may take to say its name.
const NAME_PATIENCE: Duration = Duration::from_secs(30);

/// How the name of a sender's lane begins.
const LANE: &str = "sender ";

/// All senders of a source; clones are the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Senders(Arc<Mutex<HashMap<LaneName, Sender>>>);

/// What is known of a sender.
#[derive(Debug)]
struct Sender {
    /// The last part of its lane that was cut.
    last: Option<PartName>,
    /// How many of its bytes are durable.
    durable: watch::Sender<u64>,
    /// Ends the connection that it has: there is one at a time.
    connection: watch::Sender<u64>,
}

impl Default for Sender {
    fn default() -> Self {
        Self {
            last: None,
            durable: watch::Sender::new(0),
            connection: watch::Sender::new(0),
        }
    }
}

/// The connection of a sender.
struct Turn {
    durable: watch::Receiver<u64>,
    connection: watch::Receiver<u64>,
    number: u64,
}

impl Turn {
    /// Waits until the sender has another connection.
    async fn is_over(&mut self) {
        let number = self.number;
        // It cannot go away before the source does.
        let _ = self
            .connection
            .wait_for(|connection| *connection != number)
            .await;
    }
}

impl Senders {
    /// Those of earlier starts, by the last part of their lanes; all of these is durable.
    ///
    /// # Errors
    ///
    /// A part is named as none of a sender.
    pub(super) fn behind(parts: &[PartName]) -> Result<Self, SourceError> {
        let senders = Self::default();
        for part in parts {
            let end = part.upto.as_number().ok_or_else(|| {
                SourceError::lasting(format!("`{}` is no sender of this source", part.lane))
            })?;
            let sender = Sender {
                last: Some(part.clone()),
                durable: watch::Sender::new(end),
                ..Sender::default()
            };
            senders.lock().insert(part.lane.clone(), sender);
        }
        Ok(senders)
    }

    /// Hears what is cut.
    pub(super) fn cut(&self, parts: &[Part]) {
        let mut senders = self.lock();
        for Part { name, .. } in parts {
            if let Some(sender) = senders.get_mut(&name.lane) {
                sender.last = Some(name.clone());
            }
        }
    }

    /// Hears what is durable.
    pub(super) fn durable(&self, upto: &[(LaneName, Position)]) {
        let senders = self.lock();
        for (lane, position) in upto {
            if let (Some(sender), Some(end)) = (senders.get(lane), position.as_number()) {
                sender.durable.send_replace(end);
            }
        }
    }

    /// Serves a peer until its connection ends.
    pub(super) async fn serve(
        &self,
        source: &str,
        stream: &TcpStream,
        intake: &Arc<Intake>,
    ) -> End {
        let named = tokio::time::timeout(NAME_PATIENCE, read_name(stream)).await;
        let name = match named {
            Ok(Ok(Some(name))) => name,
            Ok(Ok(None)) => {
                warn!(%source, "a peer did not begin with a line that is its name, of {MAX_NAME} bytes at most; `ack = true` asks for it");
                return End::Closed;
            }
            Ok(Err(error)) => return End::Broken(error),
            Err(_) => return End::Broken(io::ErrorKind::TimedOut.into()),
        };
        let lane = LaneName(format!("{LANE}{name}"));
        let mut turn = self.take_turn(&lane);
        let number = turn.number;
        let end = tokio::select! {
            end = self.serve_turn(&lane, stream, intake, turn.durable.clone()) => end,
            () = turn.is_over() => {
                warn!(%source, sender = name, "the sender has connected again, its old connection ends");
                End::Closed
            }
        };
        self.forget(&lane, number, intake);
        end
    }

    /// Forgets a sender that has sent nothing, if this was its last connection.
    fn forget(&self, lane: &LaneName, number: u64, intake: &Intake) {
        let mut senders = self.lock();
        let is_empty = senders
            .get(lane)
            .is_some_and(|sender| sender.last.is_none() && *sender.connection.borrow() == number);
        if is_empty && !intake.has(lane) {
            senders.remove(lane);
        }
    }

    /// Ends the connection that the sender has, if any.
    fn take_turn(&self, lane: &LaneName) -> Turn {
        let mut senders = self.lock();
        let sender = senders.entry(lane.clone()).or_default();
        sender.connection.send_modify(|number| *number += 1);
        Turn {
            durable: sender.durable.subscribe(),
            connection: sender.connection.subscribe(),
            number: *sender.connection.borrow(),
        }
    }

    async fn serve_turn(
        &self,
        lane: &LaneName,
        stream: &TcpStream,
        intake: &Arc<Intake>,
        mut durable: watch::Receiver<u64>,
    ) -> End {
        // What came through earlier connections is cut and durable first: then nobody can send it a
        // second time.
        while intake.has(lane) {
            if intake.is_stopped() {
                return End::Stopped;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        let last = self.lock().get(lane).and_then(|sender| sender.last.clone());
        let begun = last.as_ref().and_then(|last| last.upto.as_number());
        let begun = begun.unwrap_or(0);
        if durable.wait_for(|durable| *durable >= begun).await.is_err() {
            return End::Stopped;
        }
        let inlet = match intake.open_told(lane, last.as_ref()) {
            Ok(inlet) => inlet,
            Err(error) => return End::Broken(io::Error::other(error)),
        };
        let mut told = Told::new(stream, durable);
        told.say(begun);
        told.receive(inlet).await
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<LaneName, Sender>> {
        // Everything is set whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Between two looks whether a lane has ended.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// A peer that is told what is durable, while it sends.
struct Told<'a> {
    stream: &'a TcpStream,
    durable: watch::Receiver<u64>,
    /// What is still to be written of the last number.
    unwritten: Vec<u8>,
    /// The number that was said last.
    said: u64,
}

impl<'a> Told<'a> {
    const fn new(stream: &'a TcpStream, durable: watch::Receiver<u64>) -> Self {
        Self {
            stream,
            durable,
            unwritten: Vec::new(),
            said: 0,
        }
    }

    fn say(&mut self, number: u64) {
        self.said = number;
        self.unwritten = format!("{number}\n").into_bytes();
    }

    /// Writes what there is room for.
    fn write(&mut self) -> io::Result<()> {
        while !self.unwritten.is_empty() {
            match self.stream.try_write(&self.unwritten) {
                Ok(written) => drop(self.unwritten.drain(..written)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads until the peer has sent all, and tells until all of that is durable.
    async fn receive(mut self, mut inlet: Inlet) -> End {
        loop {
            match self.next().await {
                Ok(Next::Read) => {}
                Ok(Next::Told) => continue,
                Err(error) => return End::Broken(error),
            }
            if inlet.room().await.is_err() {
                return End::Stopped;
            }
            match inlet.fill(|data| self.stream.try_read_buf(data)) {
                Some(Ok(0)) => break,
                Some(Err(error)) if error.kind() == io::ErrorKind::WouldBlock => inlet.rest(),
                Some(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Some(Err(error)) => return End::Broken(error),
                Some(Ok(_)) | None => {}
            }
            tokio::task::coop::consume_budget().await;
        }
        // The sender goes on behind its last whole record.
        let end = inlet.break_off();
        while self.said < end || !self.unwritten.is_empty() {
            let (stream, has_more) = (self.stream, !self.unwritten.is_empty());
            let told = tokio::select! {
                told = self.told() => told,
                writable = stream.writable(), if has_more => writable,
            };
            if let Err(error) = told.and_then(|()| self.write()) {
                return End::Broken(error);
            }
        }
        End::Closed
    }

    /// Waits until there is something to read, or something was told.
    async fn next(&mut self) -> io::Result<Next> {
        self.write()?;
        let (stream, has_more) = (self.stream, !self.unwritten.is_empty());
        tokio::select! {
            readable = stream.readable() => readable.map(|()| Next::Read),
            told = self.told() => told.map(|()| Next::Told),
            writable = stream.writable(), if has_more => writable.map(|()| Next::Told),
        }
    }

    /// Waits until more is durable, and says it; a number that is half written comes first.
    async fn told(&mut self) -> io::Result<()> {
        let said = self.said;
        let more = self.durable.wait_for(|durable| *durable > said).await;
        let number = *more.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        if self.unwritten.is_empty() {
            self.say(number);
        } else {
            self.stream.writable().await?;
        }
        Ok(())
    }
}

enum Next {
    Read,
    Told,
}

/// The first line, without its end; none: there is none that is a name.
async fn read_name(stream: &TcpStream) -> io::Result<Option<String>> {
    let mut name = Vec::new();
    let mut byte = [0];
    while name.len() <= MAX_NAME {
        stream.readable().await?;
        // Byte by byte: what follows is not the name's.
        match stream.try_read(&mut byte) {
            Ok(0) => return Ok(None),
            Ok(_) if byte[0] == b'\n' => {
                let name = String::from_utf8(name).ok();
                let name = name.map(|name| name.trim_end_matches('\r').to_owned());
                let is_name =
                    |name: &String| !name.is_empty() && !name.chars().any(char::is_control);
                return Ok(name.filter(is_name));
            }
            Ok(_) => name.push(byte[0]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}
