//! What reads the program's output stalls: no request, no delivery and no end waits for it.

use std::io::{self, Read as _};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use hookturn_test::{Output, hookturn, signal};

use super::*;

/// A request each: more than the log has room for.
const MANY: usize = 8_000;

/// How long the program may take to end.
const END: Duration = Duration::from_secs(30);

/// The program, which is killed with the test if that fails.
struct Started(Option<Child>);

impl Drop for Started {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Started {
    fn child(&mut self) -> &mut Child {
        self.0.as_mut().expect("it has not ended")
    }

    /// Asks it to end with this signal. It must do so in time, with exit code 0, although nobody
    /// reads from it.
    fn end(mut self, name: &str) {
        let mut child = self.0.take().expect("it has not ended");
        let id = child.id();
        let (send, ended) = mpsc::channel();
        thread::spawn(move || send.send(child.wait()));
        signal(name, id);
        if let Ok(status) = ended.recv_timeout(END) {
            assert_eq!(status.expect("a child").code(), Some(0));
        } else {
            signal("KILL", id);
            panic!("it does not end");
        }
    }
}

fn spawn(args: &[&str], out: Stdio, err: Stdio) -> Started {
    let child = hookturn(args, &[]).stdout(out).stderr(err).spawn();
    Started(Some(child.expect("the program starts")))
}

/// `hookturn serve`, and where it listens, which it says on stdout: its stderr is left alone.
fn serve(err: Stdio) -> (Started, String) {
    let args = ["serve", "--listen", "127.0.0.1:0", "--log-format", "json"];
    let mut child = spawn(&args, Stdio::piped(), err);
    let first = Output::of(child.child().stdout.take().expect("piped")).line();
    let (_, url) = first.split_once("http://").expect("a URL");
    let address = url.split(' ').next().expect("an address").to_owned();
    (child, address)
}

/// Sends `count` requests over one connection, each with a long id of its own, and asserts that
/// each is answered.
fn ask(address: &str, method: &str, count: usize) {
    let socket = TcpStream::connect(address).expect("a connection");
    socket
        .set_read_timeout(Some(PATIENCE))
        .expect("an open socket");
    let mut answers = BufReader::new(socket.try_clone().expect("an open socket")).lines();
    let mut socket = socket;
    for first in (0..count).step_by(100) {
        let ids = first..count.min(first + 100);
        let request = |id| {
            format!(
                "{method} /healthz HTTP/1.1\r\nHost: {address}\r\nX-Request-Id: {id:0128}\r\n\
                 Content-Length: 0\r\n\r\n"
            )
        };
        let requests = ids.clone().map(request).collect::<Vec<_>>().concat();
        socket.write_all(requests.as_bytes()).expect("it reads");
        for _ in ids {
            let answer = answers.find(|line| {
                line.as_ref()
                    .map_or(true, |line| line.starts_with("HTTP/1.1 "))
            });
            answer.expect("an answer").expect("an answer in time");
        }
    }
}

/// The message of a line, which is whole: one JSON object.
fn parsed(line: &str) -> serde_json::Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

#[test]
fn a_log_that_nobody_reads_holds_up_neither_requests_nor_the_end() {
    let (mut child, address) = serve(Stdio::piped());
    let mut log = child.child().stderr.take().expect("piped");
    ask(&address, "GET", MANY);
    child.end("TERM");
    let mut text = String::new();
    log.read_to_string(&mut text).expect("text");
    assert!(text.ends_with('\n'), "the last line is whole");
    let lines: Vec<_> = text.lines().map(parsed).collect();
    assert!(lines.len() > 100, "the pipe is full of lines");
    assert_eq!(lines[0]["message"], "listening");
    for (number, line) in lines[1..].iter().enumerate() {
        assert_eq!(line["request_id"], format!("{number:0128}"));
    }
}

#[test]
fn a_reader_that_comes_back_finds_whole_lines_and_how_many_are_missing() {
    let (reader, writer) = io::pipe().expect("a pipe");
    let mut cat = Command::new("cat")
        .stdin(reader)
        .stdout(Stdio::piped())
        .spawn()
        .expect("cat");
    let read = Output::of(cat.stdout.take().expect("piped"));
    let (child, address) = serve(writer.into());
    assert_eq!(parsed(&read.line())["message"], "listening");
    signal("STOP", cat.id());
    ask(&address, "GET", MANY);
    signal("CONT", cat.id());

    let (mut next, mut dropped) = (0, 0);
    while dropped == 0 {
        let line = parsed(&read.line());
        if let Some(lines) = line["lines"].as_u64() {
            assert_eq!(line["level"], "WARN");
            dropped = usize::try_from(lines).expect("a count");
        } else {
            assert_eq!(line["request_id"], format!("{next:0128}"));
            next += 1;
        }
    }
    // All of a log that has room again is there, up to the last line.
    ask(&address, "GET", 1);
    child.end("TERM");
    let rest: Vec<_> = read.rest().lines().map(parsed).collect();
    let messages: Vec<_> = rest.iter().map(|line| line["message"].as_str()).collect();
    let last = [
        "request",
        "stopping: requests in flight may finish",
        "stopped",
    ]
    .map(Some);
    assert!(messages.ends_with(&last), "{messages:?}");
    assert_eq!(next + dropped + rest.len(), MANY + last.len());
    assert!(cat.wait().expect("a child").success());
}

/// The pipe's reader is gone: what cannot be written stops nothing either.
#[test]
fn a_log_that_cannot_be_written_holds_up_nothing() {
    let (reader, writer) = io::pipe().expect("a pipe");
    let full = std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .expect("Linux has it");
    drop(reader);
    for log in [Stdio::from(writer), Stdio::from(full)] {
        let (child, address) = serve(log);
        ask(&address, "GET", 100);
        child.end("TERM");
    }
}

/// Where the generated key cannot be said, the program waits for that, and can be asked to end.
#[test]
fn standard_output_that_nobody_reads_does_not_hold_up_the_end() {
    let (reader, mut writer) = io::pipe().expect("a pipe");
    // What a pipe takes before it is full.
    writer.write_all(&vec![b'x'; 65_536]).expect("room");
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = free.local_addr().expect("a bound socket").to_string();
    drop(free);
    let child = spawn(
        &["serve", "--listen", &address],
        writer.into(),
        Stdio::null(),
    );
    // It handles signals from before it listens.
    while TcpStream::connect(&address).is_err() {
        thread::yield_now();
    }
    child.end("TERM");
    drop(reader);
}

#[test]
fn a_listener_whose_output_nobody_reads_answers_and_ends() {
    let mut child = spawn(
        &["listen", "--listen", "127.0.0.1:0", "--status", "200"],
        Stdio::piped(),
        Stdio::null(),
    );
    let mut out = BufReader::new(child.child().stdout.take().expect("piped"));
    let mut greeting = String::new();
    out.read_line(&mut greeting).expect("text");
    let (_, url) = greeting.split_once("http://").expect("a URL");
    let address = url.split(' ').next().expect("an address").to_owned();
    ask(&address, "POST", MANY);
    child.end("INT");
    let mut said = String::new();
    out.read_to_string(&mut said).expect("text");
    assert!(said.matches("NOT verified").count() > 100, "{said}");
}
