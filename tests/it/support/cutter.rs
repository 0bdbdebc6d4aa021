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
    task::{JoinHandle, JoinSet},
};

/// What happens to the answer to a command.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Loss {
    /// The connection ends instead.
    Cut,
    /// It never comes.
    Stall,
}

/// Passes everything on until it hears a certain command; ends with its value.
pub(crate) struct Cutter {
    pub(crate) port: u16,
    armed: Arc<Mutex<Option<(String, Loss)>>>,
    cuts: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Cutter {
    /// Before a server on this machine.
    pub(crate) async fn before(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let (armed, cuts) = (Arc::default(), Arc::default());
        let (arms, counted) = (Arc::clone(&armed), Arc::clone(&cuts));
        let task = tokio::spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let (arms, counted) = (Arc::clone(&arms), Arc::clone(&counted));
                // A side that breaks off is its own affair.
                open.spawn(async move { drop(pass(client, server, &arms, &counted).await) });
            }
        });
        Self {
            port,
            armed,
            cuts,
            task,
        }
    }

    /// Loses the answer to the next such command and ends the connection.
    pub(crate) fn cut_after(&self, command: &str) {
        self.arm(command, Loss::Cut);
    }

    /// Loses the answer to the next such command and says nothing.
    pub(crate) fn stall_after(&self, command: &str) {
        self.arm(command, Loss::Stall);
    }

    fn arm(&self, command: &str, loss: Loss) {
        *self.armed.lock().expect("nobody panics with it") = Some((command.to_owned(), loss));
    }

    /// How many answers were lost.
    pub(crate) fn cuts(&self) -> usize {
        self.cuts.load(Ordering::SeqCst)
    }
}

impl Drop for Cutter {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(
    client: TcpStream,
    server: u16,
    armed: &Mutex<Option<(String, Loss)>>,
    cuts: &AtomicUsize,
) -> io::Result<()> {
    let server = TcpStream::connect(("127.0.0.1", server)).await?;
    let (from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let mut commands = BufReader::new(from_client);
    let mut told = vec![0; 16 * 1024];
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
                    let mut armed = armed.lock().expect("nobody panics with it");
                    let meant = armed.as_ref().is_some_and(|(wanted, _)| text.contains(wanted.as_str()));
                    if meant { armed.take() } else { None }
                };
                if let Some((_, loss)) = lost {
                    answered(&mut from_server, &text).await?;
                    cuts.fetch_add(1, Ordering::SeqCst);
                    if loss == Loss::Stall {
                        std::future::pending::<()>().await;
                    }
                    return Ok(());
                }
            }
            read = from_server.read(&mut told) => {
                let read = read?;
                if read == 0 {
                    return Ok(());
                }
                to_client.write_all(&told[..read]).await?;
            }
        }
    }
}

/// Hears the server out: what it was told is done then.
async fn answered(server: &mut OwnedReadHalf, command: &str) -> io::Result<()> {
    let tag = command.split(' ').next().unwrap_or_default().to_owned();
    let mut lines = BufReader::new(server).lines();
    while let Some(line) = lines.next_line().await? {
        if line.starts_with(&tag) {
            break;
        }
    }
    Ok(())
}
