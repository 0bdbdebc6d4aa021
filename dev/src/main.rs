//! `postroom-dev`: placeholder of the command line.

fn main() -> anyhow::Result<()> {
    let cluster = dev::postgres::Cluster::start(dev::postgres::Durability::ThrowAway)?;
    eprintln!("{cluster:?}");
    cluster.stop()?;
    Ok(())
}
