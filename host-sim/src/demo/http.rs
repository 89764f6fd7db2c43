//! The few words of HTTP that the demo's servers and clients speak: `GET path`, with a secret where one is needed, answered
//! with a JSON document.
//!
//! A real one, so that a browser can look on while the demo runs; everything is bounded in size and time. Called by `server`
//! (answering), `takeover` and `director` (asking). It knows no policy.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddrV4, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// The largest document that is sent or taken.
pub const MAX_DOCUMENT: u64 = 1024 * 1024;
/// The longest request, with its headers.
const MAX_REQUEST: u64 = 16 * 1024;
/// How long either side waits for the other.
const PATIENCE: Duration = Duration::from_secs(2);

/// The header that carries a secret.
const AUTHORIZATION: &str = "Authorization: Bearer ";

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The path.
    pub path: String,
    /// Credentials or token; empty: none.
    pub secret: String,
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Here it is.
    Document(Value),
    /// Not with this secret.
    Unauthorized,
    /// There is no such thing.
    Unknown,
}

/// Asks for a document, as any client would.
///
/// # Errors
/// Nobody answers there in time, or not with a JSON document.
pub fn get(address: SocketAddrV4, path: &str) -> Result<Value> {
    get_with(address, path, "")
}

/// The same with credentials or a token, for what is not for everybody.
///
/// # Errors
/// As [`get`]; the answer to a wrong secret is `401`.
pub fn get_with(address: SocketAddrV4, path: &str, secret: &str) -> Result<Value> {
    let stream =
        TcpStream::connect_timeout(&address.into(), PATIENCE).with_context(|| format!("no connection to {address}"))?;
    let document = ask(&stream, address, path, secret).with_context(|| format!("no answer from {address}"))?;
    serde_json::from_slice(&document).with_context(|| format!("{address} did not answer with JSON"))
}

fn ask(stream: &TcpStream, address: SocketAddrV4, path: &str, secret: &str) -> Result<Vec<u8>> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut stream = stream;
    let authorization = if secret.is_empty() { String::new() } else { format!("{AUTHORIZATION}{secret}\r\n") };
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\n{authorization}Connection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(MAX_DOCUMENT + 4096).read_to_end(&mut answer)?;
    body(&answer)
}

/// The document of an answer; it must be whole.
fn body(answer: &[u8]) -> Result<Vec<u8>> {
    let Some(end) = answer.windows(4).position(|w| w == b"\r\n\r\n") else { bail!("the answer is cut off") };
    let head = String::from_utf8_lossy(&answer[..end]);
    let mut lines = head.lines();
    let status = lines.next().unwrap_or_default();
    if status.split(' ').nth(1) != Some("200") {
        bail!("the answer is `{status}`");
    }
    let length: Option<usize> =
        lines.find_map(|line| line.strip_prefix("Content-Length: ")).and_then(|n| n.parse().ok());
    let document = &answer[end + 4..];
    match length {
        Some(length) if document.len() == length => Ok(document.to_vec()),
        _ => bail!("the answer is cut off"),
    }
}

/// Answers requests, one after another, until the process ends. `answer` says what each gets.
pub fn serve(listener: &TcpListener, answer: impl Fn(&Request) -> Answer) {
    for stream in listener.incoming() {
        // A client that goes away, or says nothing sensible, is its own affair.
        let _ = stream.and_then(|stream| serve_one(&stream, &answer));
    }
}

fn serve_one(stream: &TcpStream, answer: &impl Fn(&Request) -> Answer) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let request = read_request(&mut BufReader::new(stream).take(MAX_REQUEST))?;
    let (status, document) = match request.as_ref().map(answer) {
        Some(Answer::Document(document)) => ("200 OK", document),
        Some(Answer::Unauthorized) => ("401 Unauthorized", Value::Null),
        Some(Answer::Unknown) => ("404 Not Found", Value::Null),
        None => ("400 Bad Request", Value::Null),
    };
    let document = serde_json::to_vec_pretty(&document)?;
    let mut stream = stream;
    let length = document.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(&document)
}

/// Reads a request with its headers; `None` if it is no GET.
fn read_request(input: &mut impl BufRead) -> io::Result<Option<Request>> {
    let (mut first, mut secret) = (None, String::new());
    loop {
        let mut line = Vec::new();
        if input.read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        let line = String::from_utf8_lossy(&line);
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        if let Some(found) = line.strip_prefix(AUTHORIZATION) {
            found.clone_into(&mut secret);
        }
        first.get_or_insert_with(|| line.to_owned());
    }
    let first = first.unwrap_or_default();
    let mut words = first.split(' ');
    Ok(match (words.next(), words.next(), words.next()) {
        (Some("GET"), Some(path), Some(version)) if version.starts_with("HTTP/1.") => {
            Some(Request { path: path.to_owned(), secret })
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use serde_json::json;

    use super::*;

    fn server() -> SocketAddrV4 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let SocketAddr::V4(address) = listener.local_addr().unwrap() else { panic!("not IPv4") };
        std::thread::spawn(move || {
            serve(&listener, |request| match (request.path.as_str(), request.secret.as_str()) {
                ("/status", _) | ("/settings", "token") => Answer::Document(json!({"server": "arena"})),
                ("/settings", _) => Answer::Unauthorized,
                _ => Answer::Unknown,
            });
        });
        address
    }

    #[test]
    fn a_client_gets_the_document() {
        let address = server();
        assert_eq!(get(address, "/status").unwrap(), json!({"server": "arena"}));
        let refused = format!("{:#}", get(address, "/nothing").unwrap_err());
        assert!(refused.contains("404"), "{refused}");
        assert_eq!(get_with(address, "/settings", "token").unwrap(), json!({"server": "arena"}));
        for wrong in ["", "other"] {
            let refused = format!("{:#}", get_with(address, "/settings", wrong).unwrap_err());
            assert!(refused.contains("401 Unauthorized"), "{refused}");
        }
    }

    #[test]
    fn nobody_there_is_an_error_with_the_address() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let SocketAddr::V4(address) = listener.local_addr().unwrap() else { panic!("not IPv4") };
        drop(listener);
        assert!(get(address, "/status").unwrap_err().to_string().contains(&address.to_string()));
    }

    #[test]
    fn requests_are_read_and_others_are_not() {
        let read = |text: &str| read_request(&mut text.as_bytes()).unwrap();
        let request = read("GET /status HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer xyz\r\n\r\n").unwrap();
        assert_eq!((request.path.as_str(), request.secret.as_str()), ("/status", "xyz"));
        for bad in ["", "GET /status HTTP/1.1\r\n", "POST / HTTP/1.1\r\n\r\n", "GET /\r\n\r\n", "\r\n\r\n"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_answer_that_is_cut_off_is_no_answer() {
        let whole = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnull";
        assert_eq!(body(whole).unwrap(), b"null");
        for cut in 0..whole.len() {
            assert!(body(&whole[..cut]).is_err(), "{cut}");
        }
    }
}
