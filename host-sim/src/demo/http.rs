//! The few words of HTTP that the demo's servers and clients speak: `GET path`, with a secret where one is needed, answered
//! with a JSON document.
//!
//! A real one, so that a browser can look on while the demo runs; everything is bounded in size and time, a request and an answer each as a
//! whole. Called by `server` (answering), `takeover` and `director` (asking). It knows no policy.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddrV4, TcpListener, TcpStream};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// The largest document that is sent or taken.
pub const MAX_DOCUMENT: u64 = 1024 * 1024;
/// The longest request, with its headers.
const MAX_REQUEST: u64 = 16 * 1024;
/// How long an exchange may take, from the connection to the last byte; what connects takes as long at most.
const PATIENCE: Duration = Duration::from_secs(2);
/// Connections that are answered at the same time; the next one waits until one ends. A browser opens up to six, some of them for later.
const CONNECTIONS_MAX: usize = 16;

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

/// A connection that has to be done with at an instant, however many pieces come.
struct Timed<'a> {
    stream: &'a TcpStream,
    until: Instant,
}

impl<'a> Timed<'a> {
    fn new(stream: &'a TcpStream) -> Self {
        Self { stream, until: Instant::now() + PATIENCE }
    }

    fn left(&self) -> io::Result<Option<Duration>> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(late()) } else { Ok(Some(left)) }
    }
}

impl Read for Timed<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(self.left()?)?;
        self.stream.read(buf).map_err(named)
    }
}

impl Write for Timed<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(self.left()?)?;
        self.stream.write(buf).map_err(named)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

fn late() -> io::Error {
    let text = format!(
        "it was not whole within {} s: whoever listens there is stopped or has too much to do; ask again, or play slower (--speed)",
        PATIENCE.as_secs()
    );
    io::Error::new(io::ErrorKind::TimedOut, text)
}

/// A system says "would block" of what took too long.
fn named(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => late(),
        _ => error,
    }
}

fn ask(stream: &TcpStream, address: SocketAddrV4, path: &str, secret: &str) -> Result<Vec<u8>> {
    let mut stream = Timed::new(stream);
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

/// Answers requests until the process ends, each on a thread of its own, so that who connects and is silent holds nobody else up.
/// `answer` says what each gets.
pub fn serve(listener: &TcpListener, answer: impl Fn(&Request) -> Answer + Sync) {
    let places = Places::default();
    std::thread::scope(|scope| {
        for stream in listener.incoming() {
            let (place, answer) = (places.take(), &answer);
            // A client that goes away, or says nothing sensible, is its own affair; one for whom there is no thread asks again.
            let _ = std::thread::Builder::new().spawn_scoped(scope, move || {
                let _ = stream.and_then(|stream| serve_one(&stream, answer));
                drop(place);
            });
        }
    });
}

/// How many connections are being answered.
#[derive(Default)]
struct Places {
    taken: Mutex<usize>,
    freed: Condvar,
}

/// One of them.
struct Place<'a>(&'a Places);

impl Places {
    /// Waits for a free one; each is free in time, since every exchange ends in time.
    fn take(&self) -> Place<'_> {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let all_taken = |taken: &mut usize| *taken >= CONNECTIONS_MAX;
        *self.freed.wait_while(taken, all_taken).unwrap_or_else(PoisonError::into_inner) += 1;
        Place(self)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        *self.0.taken.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.0.freed.notify_one();
    }
}

fn serve_one(stream: &TcpStream, answer: &impl Fn(&Request) -> Answer) -> io::Result<()> {
    let mut stream = Timed::new(stream);
    let request = read_request(&mut BufReader::new(&mut stream).take(MAX_REQUEST))?;
    let (status, document) = match request.as_ref().map(answer) {
        Some(Answer::Document(document)) => ("200 OK", document),
        Some(Answer::Unauthorized) => ("401 Unauthorized", Value::Null),
        Some(Answer::Unknown) => ("404 Not Found", Value::Null),
        None => ("400 Bad Request", Value::Null),
    };
    let document = serde_json::to_vec_pretty(&document)?;
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

    /// Writes a byte now and then, until nobody takes them.
    fn drip(mut stream: impl Write, byte: u8) {
        while stream.write_all(&[byte]).is_ok() {
            std::thread::sleep(PATIENCE / 20);
        }
    }

    #[test]
    fn a_request_that_drips_in_is_given_up_as_a_whole() {
        let stream = TcpStream::connect(server()).unwrap();
        let begun = Instant::now();
        let dripping = stream.try_clone().unwrap();
        std::thread::spawn(move || drip(dripping, b'x'));
        // It may end with a reset, since something is left that nobody reads.
        let _ = (&stream).read(&mut [0]);
        let took = begun.elapsed();
        assert!(took >= PATIENCE / 2 && took < PATIENCE * 5, "{took:?}");
    }

    #[test]
    fn an_answer_that_drips_in_or_never_comes_is_an_error_that_says_what_to_do() {
        for drips in [true, false] {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let SocketAddr::V4(address) = listener.local_addr().unwrap() else { panic!("not IPv4") };
            std::thread::spawn(move || {
                let (stream, _) = listener.accept().unwrap();
                if drips { drip(stream, b'x') } else { drop((&stream).read_to_end(&mut Vec::new())) }
            });
            let begun = Instant::now();
            let text = format!("{:#}", get(address, "/status").unwrap_err());
            assert!(begun.elapsed() < PATIENCE * 5, "{:?}", begun.elapsed());
            let words = [address.to_string().as_str(), "within 2 s", "--speed"].map(|word| text.contains(word));
            assert_eq!(words, [true; 3], "{text}");
        }
    }

    #[test]
    fn who_connects_and_is_silent_holds_nobody_else_up() {
        let address = server();
        let idle: Vec<TcpStream> = (1..CONNECTIONS_MAX).map(|_| TcpStream::connect(address).unwrap()).collect();
        get(address, "/status").expect("an answer before they are given up");
        drop(idle);
    }

    #[test]
    fn more_clients_than_places_wait_and_all_are_answered() {
        let address = server();
        std::thread::scope(|scope| {
            let clients: Vec<_> =
                (0..3 * CONNECTIONS_MAX).map(|_| scope.spawn(move || get(address, "/status").unwrap())).collect();
            clients.into_iter().for_each(|client| drop(client.join().unwrap()));
        });
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
