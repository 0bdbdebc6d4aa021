//! [`SilentProxy`]: a way to Postgres whose open connections can go silent, as after a failover behind an address, or that is
//! long.

use std::{io, net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::sleep,
};

/// Passes everything on until it is silenced; stops with its value.
pub(crate) struct SilentProxy {
    pub(crate) addr: SocketAddr,
    /// Connections with a lower number are silent.
    silenced: watch::Sender<u64>,
    accepted: watch::Receiver<u64>,
    task: JoinHandle<()>,
}

impl SilentProxy {
    /// Before a server on this machine.
    pub(crate) async fn before(server: u16) -> Self {
        Self::far_from(server, Duration::ZERO).await
    }

    /// Before a server to which and from which everything takes this long.
    pub(crate) async fn far_from(server: u16, delay: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("it is bound");
        let (silenced, is_silenced) = watch::channel(0);
        let (count, accepted) = watch::channel(0_u64);
        let task = tokio::spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let number = *count.borrow();
                count.send_replace(number + 1);
                let is_silenced = is_silenced.clone();
                // A side that breaks off is its own affair.
                open.spawn(async move {
                    drop(pass(client, (server, delay), number, is_silenced).await);
                });
            }
        });
        Self {
            addr,
            silenced,
            accepted,
            task,
        }
    }

    /// What is open now forwards nothing any more and is never closed; new connections work.
    pub(crate) fn silence(&self) {
        self.silenced.send_replace(*self.accepted.borrow());
    }
}

impl Drop for SilentProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(
    mut client: TcpStream,
    (server, delay): (u16, Duration),
    number: u64,
    mut silenced: watch::Receiver<u64>,
) -> io::Result<()> {
    let mut server = TcpStream::connect(("127.0.0.1", server)).await?;
    let (mut sent, mut received) = (vec![0; 16 * 1024], vec![0; 16 * 1024]);
    loop {
        tokio::select! {
            biased;
            is_silent = is_silenced(&mut silenced, number) => {
                if is_silent {
                    return swallow(client, server).await;
                }
                return Ok(());
            }
            read = client.read(&mut sent) => match read? {
                0 => return Ok(()),
                read => {
                    sleep(delay).await;
                    server.write_all(&sent[..read]).await?;
                }
            },
            read = server.read(&mut received) => match read? {
                0 => return Ok(()),
                read => {
                    sleep(delay).await;
                    client.write_all(&received[..read]).await?;
                }
            },
        }
    }
}

/// Waits until the connection is silenced; false if the proxy is gone.
async fn is_silenced(silenced: &mut watch::Receiver<u64>, number: u64) -> bool {
    silenced.wait_for(|below| number < *below).await.is_ok()
}

/// Acknowledges what the client sends, and answers nothing.
async fn swallow(mut client: TcpStream, server: TcpStream) -> io::Result<()> {
    let mut sent = vec![0; 16 * 1024];
    while client.read(&mut sent).await? > 0 {}
    drop(server);
    Ok(())
}
