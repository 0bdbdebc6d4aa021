//! [`Cutter`]: a way to a mail server on which an answer can be lost, when the server has done what it was told.

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

/// What a server says before it ends a session.
const BYE: &[u8] = b"* BYE Closed for maintenance.\r\n";

/// What happens to the answer to a command.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Loss {
    /// The connection ends instead.
    Cut,
    /// It never comes.
    Stall,
    /// The server says that it failed.
    Refuse,
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
    /// The server never sends these emails.
    unsendable: Mutex<Vec<u32>>,
    cuts: AtomicUsize,
    /// Changes when all connections are to end; true if the server says goodbye.
    end: watch::Sender<bool>,
}

impl Cutter {
    /// Before a server on this machine.
    pub(crate) async fn before(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let state = Arc::new(State {
            armed: Mutex::default(),
            bytes_left: Mutex::default(),
            unsendable: Mutex::default(),
            cuts: AtomicUsize::default(),
            end: watch::Sender::new(false),
        });
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let shared = Arc::clone(&shared);
                // A side that breaks off is its own affair.
                open.spawn(async move { drop(pass(client, server, &shared).await) });
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
        self.arm(command, Loss::Refuse);
    }

    /// Refuses to send any of these emails, by their UIDs, from now on.
    pub(crate) fn refuse_emails(&self, uids: &[u32]) {
        *self.state.unsendable.lock().expect("nobody panics with it") = uids.to_vec();
    }

    /// Ends the connection that passes on the last of so many bytes from the server, in the middle of whatever it says.
    pub(crate) fn cut_within(&self, bytes: usize) {
        *self.state.bytes_left.lock().expect("nobody panics with it") = Some(bytes);
    }

    /// Ends all connections, as a server that stops does if it says goodbye, and as a network does if not.
    pub(crate) fn cut_all(&self, says_goodbye: bool) {
        self.state.end.send_replace(says_goodbye);
    }

    /// Forgets the cuts that have not happened.
    pub(crate) fn disarm(&self) {
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
    /// Whether a command asks for an email that is never sent: `a1 UID FETCH 2,3 (UID BODY.PEEK[])`.
    fn is_unsendable(&self, command: &str) -> bool {
        let mut words = command.split(' ');
        let uids = words.nth(3).unwrap_or_default();
        let unsendable = self.unsendable.lock().expect("nobody panics with it");
        let named = |uid: &str| uid.parse().is_ok_and(|uid: u32| unsendable.contains(&uid));
        command.contains("BODY.PEEK[]") && uids.split(',').any(named)
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
                to_server.write_all(&command).await?;
                let text = String::from_utf8_lossy(&command).into_owned();
                command.clear();
                let lost = {
                    let mut armed = state.armed.lock().expect("nobody panics with it");
                    let meant = armed.as_ref().is_some_and(|(wanted, _)| text.contains(wanted.as_str()));
                    if meant { armed.take() } else { None }
                };
                let unsendable = || (text.clone(), Loss::Refuse);
                let lost = lost.or_else(|| state.is_unsendable(&text).then(unsendable));
                if let Some((_, loss)) = lost {
                    let tag = answered(&mut from_server, &text).await?;
                    state.cuts.fetch_add(1, Ordering::SeqCst);
                    match loss {
                        Loss::Cut => return Ok(()),
                        Loss::Stall => {
                            drop(end.changed().await);
                            return Ok(());
                        }
                        Loss::Refuse => {
                            let answer = format!("{tag} NO [SERVERBUG] Internal error occurred.\r\n");
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
