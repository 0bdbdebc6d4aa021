//! [`Cutter`]: a way to a mail server on which an answer can be lost, when the server has done what it was told, or can come from
//! the test, as odd servers give it.

use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream, tcp::OwnedReadHalf},
    sync::watch,
    task::{JoinHandle, JoinSet},
};

/// What a server says if it fails.
const FAILED: &str = "NO [SERVERBUG] Internal error occurred.";
/// What a server says before it ends a session.
const BYE: &[u8] = b"* BYE Closed for maintenance.\r\n";

/// What happens to the answer to a command.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Loss {
    /// The connection ends instead.
    Cut,
    /// It never comes.
    Stall,
    /// The server says only this.
    Say(&'static str),
}

/// Passes everything on until it hears a certain command; ends with its value.
pub(crate) struct Cutter {
    pub(crate) port: u16,
    state: Arc<State>,
    task: JoinHandle<()>,
}

/// What all connections share.
struct State {
    armed: Mutex<Option<(String, Loss)>>,
    /// After so many more bytes of the server the connection ends, wherever that is.
    bytes_left: Mutex<Option<usize>>,
    /// The server never sends these emails, and loses the answer so.
    unsendable: Mutex<(Vec<u32>, Loss)>,
    /// After so many more emails the server limits the rate: it refuses all, with this text.
    rate: Mutex<Option<(usize, &'static str)>>,
    cuts: AtomicUsize,
    answers: Mutex<Vec<ScriptedResponse>>,
    warning: Mutex<Option<String>>,
    commands: Mutex<Vec<String>>,
    sessions: Sessions,
    /// Changes when all connections are to end; true if the server says goodbye.
    end: watch::Sender<bool>,
}

/// An answer of the test to a command that never reaches the server.
struct ScriptedResponse {
    command: String,
    text: String,
    times: usize,
    /// Given only once such a command was heard.
    after: String,
}

/// How many connections are open, and the most that were at once.
#[derive(Default)]
struct Sessions {
    open: AtomicUsize,
    most: AtomicUsize,
}

impl Cutter {
    /// Before a server on this machine.
    pub(crate) async fn before(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let state = Arc::new(State {
            armed: Mutex::default(),
            bytes_left: Mutex::default(),
            unsendable: Mutex::new((Vec::new(), Loss::Say(FAILED))),
            rate: Mutex::default(),
            cuts: AtomicUsize::default(),
            answers: Mutex::default(),
            warning: Mutex::default(),
            commands: Mutex::default(),
            sessions: Sessions::default(),
            end: watch::Sender::new(false),
        });
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let shared = Arc::clone(&shared);
                // A side that breaks off is its own affair.
                open.spawn(async move {
                    let open = shared.sessions.open.fetch_add(1, Ordering::SeqCst) + 1;
                    shared.sessions.most.fetch_max(open, Ordering::SeqCst);
                    drop(pass(client, server, &shared).await);
                    shared.sessions.open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { port, state, task }
    }

    /// Loses the answer to the next such command and ends the connection.
    pub(crate) fn cut_after(&self, command: &str) {
        self.arm(command, Loss::Cut);
    }

    /// Loses the answer to the next such command and says nothing, until [`Self::cut_all`].
    pub(crate) fn stall_after(&self, command: &str) {
        self.arm(command, Loss::Stall);
    }

    /// Replaces the answer to the next such command: the server failed.
    pub(crate) fn refuse(&self, command: &str) {
        self.arm(command, Loss::Say(FAILED));
    }

    /// Answers such commands from now on in place of the server, with the command's tag for `{tag}`.
    pub(crate) fn answer(&self, command: &str, text: &str) {
        self.answer_times(usize::MAX, command, text);
    }

    /// The same, so many times.
    pub(crate) fn answer_times(&self, times: usize, command: &str, text: &str) {
        self.push(times, "", command, text);
    }

    /// The same, as soon as the other command was heard.
    pub(crate) fn answer_after(&self, heard: &str, command: &str, text: &str) {
        self.push(usize::MAX, heard, command, text);
    }

    fn push(&self, times: usize, after: &str, command: &str, text: &str) {
        let answer = ScriptedResponse {
            command: command.to_owned(),
            text: text.to_owned(),
            times,
            after: after.to_owned(),
        };
        let mut answers = self.state.answers.lock().expect("nobody panics with it");
        answers.push(answer);
    }

    /// Says this before the server's answer to each command that opens a folder, from now on.
    pub(crate) fn warn(&self, warning: &str) {
        let warning = Some(warning.to_owned());
        *self.state.warning.lock().expect("nobody panics with it") = warning;
    }

    /// The commands that contain this text, in order, without their tags.
    pub(crate) fn heard(&self, text: &str) -> Vec<String> {
        let commands = self.state.commands.lock().expect("nobody panics with it");
        let meant = commands.iter().filter(|command| command.contains(text));
        meant.cloned().collect()
    }

    /// The most connections that were open at once.
    pub(crate) fn most_open(&self) -> usize {
        self.state.sessions.most.load(Ordering::SeqCst)
    }

    /// Shortens the answer to the next such command: it was done.
    pub(crate) fn shorten(&self, command: &str) {
        self.arm(command, Loss::Say("OK Done."));
    }

    /// Refuses to send any of these emails, by their UIDs, from now on.
    pub(crate) fn refuse_emails(&self, uids: &[u32]) {
        self.set_unsendable(uids, Loss::Say(FAILED));
    }

    /// Ends the connection at any of these emails, by their UIDs, from now on.
    pub(crate) fn cut_at_emails(&self, uids: &[u32]) {
        self.set_unsendable(uids, Loss::Cut);
    }

    fn set_unsendable(&self, uids: &[u32], loss: Loss) {
        let mut unsendable = self.state.unsendable.lock().expect("nobody panics with it");
        *unsendable = (uids.to_vec(), loss);
    }

    /// Refuses all emails with this text once so many more were sent, until [`Self::lift_rate_limit`].
    pub(crate) fn limit_rate(&self, emails: usize, refusal: &'static str) {
        *self.state.rate.lock().expect("nobody panics with it") = Some((emails, refusal));
    }

    pub(crate) fn lift_rate_limit(&self) {
        *self.state.rate.lock().expect("nobody panics with it") = None;
    }

    /// Ends the connection that passes on the last of so many bytes from the server, in the middle of whatever it says.
    pub(crate) fn cut_within(&self, bytes: usize) {
        *self.state.bytes_left.lock().expect("nobody panics with it") = Some(bytes);
    }

    /// Ends all connections, as a server that stops does if it says goodbye, and as a network does if not.
    pub(crate) fn cut_all(&self, says_goodbye: bool) {
        self.state.end.send_replace(says_goodbye);
    }

    /// Forgets the cuts that have not happened, and the answers.
    pub(crate) fn disarm(&self) {
        let mut answers = self.state.answers.lock().expect("nobody panics with it");
        answers.clear();
        *self.state.armed.lock().expect("nobody panics with it") = None;
        *self.state.bytes_left.lock().expect("nobody panics with it") = None;
    }

    fn arm(&self, command: &str, loss: Loss) {
        let armed = Some((command.to_owned(), loss));
        *self.state.armed.lock().expect("nobody panics with it") = armed;
    }

    /// How many answers were lost.
    pub(crate) fn cuts(&self) -> usize {
        self.state.cuts.load(Ordering::SeqCst)
    }
}

impl Drop for Cutter {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl State {
    /// What the test answers to a command, if it does; the first such answer that is left.
    fn answer_to(&self, command: &str) -> Option<String> {
        let (tag, command) = command.trim_end().split_once(' ')?;
        let mut commands = self.commands.lock().expect("nobody panics with it");
        commands.push(command.to_owned());
        let mut answers = self.answers.lock().expect("nobody panics with it");
        let is_heard = |text: &str| commands.iter().any(|command| command.contains(text));
        let meant = |answer: &&mut ScriptedResponse| {
            answer.times > 0 && command.contains(answer.command.as_str()) && is_heard(&answer.after)
        };
        let answer = answers.iter_mut().find(meant)?;
        answer.times -= 1;
        Some(answer.text.replace("{tag}", tag))
    }

    fn warning_before(&self, command: &str) -> Option<String> {
        let opens = ["SELECT", "EXAMINE"].iter().any(|it| command.contains(it));
        let warning = self.warning.lock().expect("nobody panics with it");
        warning.clone().filter(|_| opens)
    }

    /// The loss of the answer to a command that asks for an email that is never sent: `a1 UID FETCH 2,3 (UID BODY.PEEK[])`.
    fn unsendable(&self, command: &str) -> Option<Loss> {
        let mut words = command.split(' ');
        let uids = words.nth(3).unwrap_or_default();
        let unsendable = self.unsendable.lock().expect("nobody panics with it");
        let named = |uid: &str| {
            uid.parse()
                .is_ok_and(|uid: u32| unsendable.0.contains(&uid))
        };
        let is_named = command.contains("BODY.PEEK[]") && uids.split(',').any(named);
        is_named.then_some(unsendable.1)
    }

    /// The refusal of a command that asks for more emails than the rate allows.
    fn rate_refusal(&self, command: &str) -> Option<&'static str> {
        if !command.contains("BODY.PEEK[]") {
            return None;
        }
        let uids = command.split(' ').nth(3).unwrap_or_default();
        let asked = uids.split(',').count();
        let mut rate = self.rate.lock().expect("nobody panics with it");
        let (left, refusal) = rate.as_mut()?;
        if *left < asked {
            return Some(refusal);
        }
        *left -= asked;
        None
    }

    /// How many of these bytes are passed on, and whether the connection ends then.
    fn passed(&self, read: usize) -> (usize, bool) {
        let mut left = self.bytes_left.lock().expect("nobody panics with it");
        match *left {
            Some(bytes) if bytes <= read => {
                *left = None;
                self.cuts.fetch_add(1, Ordering::SeqCst);
                (bytes, true)
            }
            Some(bytes) => {
                *left = Some(bytes - read);
                (read, false)
            }
            None => (read, false),
        }
    }
}

async fn pass(client: TcpStream, server: u16, state: &State) -> io::Result<()> {
    let mut end = state.end.subscribe();
    let server = TcpStream::connect(("127.0.0.1", server)).await?;
    let (from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let mut commands = BufReader::new(from_client);
    let mut response = vec![0; 16 * 1024];
    let mut command = Vec::new();
    loop {
        tokio::select! {
            heard = commands.read_until(b'\n', &mut command) => {
                if heard? == 0 {
                    return Ok(());
                }
                let text = String::from_utf8_lossy(&command).into_owned();
                if let Some(answer) = state.answer_to(&text) {
                    to_client.write_all(answer.as_bytes()).await?;
                    command.clear();
                    continue;
                }
                if let Some(warning) = state.warning_before(&text) {
                    to_client.write_all(warning.as_bytes()).await?;
                }
                to_server.write_all(&command).await?;
                command.clear();
                let lost = {
                    let mut armed = state.armed.lock().expect("nobody panics with it");
                    let meant = armed.as_ref().is_some_and(|(wanted, _)| text.contains(wanted.as_str()));
                    if meant { armed.take() } else { None }
                };
                let lost = lost.map(|(_, loss)| loss).or_else(|| state.unsendable(&text));
                let rate = if lost.is_none() {
                    state.rate_refusal(&text)
                } else {
                    None
                };
                let lost = lost.or_else(|| rate.map(|_| Loss::Say(FAILED)));
                if let Some(loss) = lost {
                    let tag = answered(&mut from_server, &text).await?;
                    state.cuts.fetch_add(1, Ordering::SeqCst);
                    match loss {
                        Loss::Cut => return Ok(()),
                        Loss::Stall => {
                            drop(end.changed().await);
                            return Ok(());
                        }
                        Loss::Say(said) => {
                            let said = rate.map_or_else(|| said.to_owned(), |why| format!("NO {why}"));
                            let answer = format!("{tag} {said}\r\n");
                            to_client.write_all(answer.as_bytes()).await?;
                        }
                    }
                }
            }
            read = from_server.read(&mut response) => {
                let read = read?;
                if read == 0 {
                    return Ok(());
                }
                let (passed, is_cut) = state.passed(read);
                to_client.write_all(&response[..passed]).await?;
                if is_cut {
                    return Ok(());
                }
            }
            ended = end.changed() => {
                if ended.is_ok() && *end.borrow() {
                    to_client.write_all(BYE).await?;
                }
                return Ok(());
            }
        }
    }
}

/// Reads the server's response to its end: the command is done then. Returns the tag of the command.
async fn answered(server: &mut OwnedReadHalf, command: &str) -> io::Result<String> {
    let tag = command.split(' ').next().unwrap_or_default().to_owned();
    let mut lines = BufReader::new(server).lines();
    while let Some(line) = lines.next_line().await? {
        if line.starts_with(&tag) {
            break;
        }
    }
    Ok(tag)
}
