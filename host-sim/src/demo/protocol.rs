//! What servers and supervisors tell the failover host: one JSON object a line, over TCP, each line of bounded length.
//!
//! The reader takes nothing on trust: a line that is too long, no UTF-8, no message or cut off ends the connection with a
//! reason, and costs at most [`MAX_LINE`] bytes. Called by `server` and `supervisor` (writing) and `failover` (reading).

use std::io::{self, BufRead, Write};

use serde::{Deserialize, Serialize};

/// The longest line, without its end.
pub const MAX_LINE: usize = 4096;

/// Who is at the other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Speaker {
    /// The recording server itself.
    Server,
    /// The small process that started it and sees how it ends.
    Supervisor,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Message {
    /// The first line of every connection.
    Hello {
        /// Id of the server that it is about.
        server: String,
        /// Who speaks.
        speaker: Speaker,
    },
    /// The server has started.
    Startup {},
    /// The server lives.
    KeepAlive {
        /// 1, 2, 3, …
        number: u64,
    },
    /// The server is being shut down in good order.
    ShutdownNormal {},
    /// From a supervisor: the server has exited with an error.
    Exited {
        /// Its exit status, if it had one.
        code: Option<i32>,
        /// The signal that ended it, if one did.
        signal: Option<i32>,
    },
}

/// Why a connection cannot be read any further.
#[derive(Debug)]
pub enum Broken {
    /// The line is longer than [`MAX_LINE`].
    TooLong,
    /// The connection ended in the middle of a line.
    CutOff,
    /// The line is no message.
    NoMessage(String),
    /// The connection failed.
    Io(io::Error),
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooLong => write!(f, "a line of more than {MAX_LINE} bytes"),
            Self::CutOff => write!(f, "the connection ended in the middle of a line"),
            Self::NoMessage(what) => write!(f, "not a message: {what}"),
            Self::Io(e) => write!(f, "{e}"),
        }
    }
}

impl std::error::Error for Broken {}

/// Reads the next message; `None` at the end of the connection.
///
/// # Errors
/// See [`Broken`]; the connection is of no use after any of them.
pub fn read(input: &mut impl BufRead) -> Result<Option<Message>, Broken> {
    let mut line = Vec::new();
    let limit = MAX_LINE as u64 + 1;
    io::Read::take(&mut *input, limit).read_until(b'\n', &mut line).map_err(Broken::Io)?;
    match line.pop() {
        None => return Ok(None),
        Some(b'\n') => {}
        Some(_) if line.len() >= MAX_LINE => return Err(Broken::TooLong),
        Some(_) => return Err(Broken::CutOff),
    }
    serde_json::from_slice(&line).map(Some).map_err(|e| Broken::NoMessage(e.to_string()))
}

/// Writes one message and its line end in a single call, so that lines of two threads never mix.
///
/// # Errors
/// The connection failed.
pub fn write(output: &mut impl Write, message: &Message) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    output.write_all(&line)?;
    output.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<Message> {
        vec![
            Message::Hello { server: "arena".into(), speaker: Speaker::Server },
            Message::Startup {},
            Message::KeepAlive { number: 7 },
            Message::ShutdownNormal {},
            Message::Exited { code: None, signal: Some(9) },
        ]
    }

    #[test]
    fn what_is_written_is_read_again_whatever_the_pieces() {
        let mut bytes = Vec::new();
        for message in all() {
            write(&mut bytes, &message).unwrap();
        }
        for size in [1, 3, 17, 4096] {
            let mut input = io::BufReader::with_capacity(size, &bytes[..]);
            let got: Vec<Message> = std::iter::from_fn(|| read(&mut input).unwrap()).collect();
            assert_eq!(got, all());
        }
    }

    #[test]
    fn the_wire_format_is_plain() {
        let mut bytes = Vec::new();
        write(&mut bytes, &Message::KeepAlive { number: 7 }).unwrap();
        assert_eq!(bytes, b"{\"type\":\"keep_alive\",\"number\":7}\n");
    }

    #[test]
    fn a_line_of_the_longest_length_is_read_and_one_byte_more_is_refused() {
        let frame = r#"{"type":"hello","server":"","speaker":"server"}"#.len();
        for (extra, fits) in [(0, true), (1, false)] {
            let server = "x".repeat(MAX_LINE - frame + extra);
            let mut bytes = Vec::new();
            write(&mut bytes, &Message::Hello { server, speaker: Speaker::Server }).unwrap();
            assert_eq!(bytes.len(), MAX_LINE + 1 + extra);
            let got = read(&mut &bytes[..]);
            assert_eq!(got.is_ok(), fits, "{got:?}");
            assert!(fits || matches!(got, Err(Broken::TooLong)));
        }
    }

    #[test]
    fn an_endless_line_costs_a_bounded_amount() {
        let mut input = io::BufReader::new(io::repeat(b'x'));
        assert!(matches!(read(&mut input), Err(Broken::TooLong)));
    }

    #[test]
    fn bad_lines_end_the_connection_with_a_reason() {
        for bad in [
            "\n",
            "hello\n",
            "{}\n",
            "{\"type\":\"dance\"}\n",
            "{\"type\":\"keep_alive\",\"number\":-1}\n",
            "{\"type\":\"startup\",\"more\":1}\n",
        ] {
            assert!(matches!(read(&mut bad.as_bytes()), Err(Broken::NoMessage(_))), "{bad}");
        }
        assert!(matches!(read(&mut &b"{\"type\":\"\xff\"}\n"[..]), Err(Broken::NoMessage(_))));
        assert!(matches!(read(&mut &b"{\"type\":\"startup\"}"[..]), Err(Broken::CutOff)));
        assert!(matches!(read(&mut &b""[..]), Ok(None)));
    }
}
