//! Servers and clients that use sockets in the ways that deceive an observer of the socket layer,
//! or that are meant to wear one out. The first argument is the mode.

mod crowd;
mod receive;
mod serve;
mod uring;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mode = arguments.next().unwrap_or_default();
    let mut next = || {
        arguments
            .next()
            .ok_or_else(|| anyhow::anyhow!("{mode}: argument missing"))
    };
    match mode.as_str() {
        "answer" => serve::one(),
        "peek" => serve::all(receive::peek),
        "recvmmsg" => serve::all(receive::recvmmsg),
        "readv" => serve::all(receive::readv),
        "recvmsg" => serve::all(receive::recvmsg),
        "trunc" => serve::discarding(receive::discard),
        "splice-in" => serve::discarding(receive::splice_away),
        "splice-out" => serve::splicing(),
        "uring" => uring::serve(),
        "crowd" => crowd::crowd(next()?.parse()?, next()?.parse()?),
        "endless" => crowd::endless_head(next()?.parse()?, next()?.parse()?),
        "forks" => crowd::forks(next()?.parse()?, next()?.parse()?),
        "ask" => crowd::ask(next()?.parse()?),
        _ => anyhow::bail!("unknown mode {mode:?}"),
    }
}
