//! `salt`: sends an order, waits as Salt waits, prints what comes.

use relay_core::{
    ids::Jid,
    target::{Expr, Target},
};
use relay_proto::{
    Code as Refusal,
    operator::{Batch, ListMinionsRequest, Minion, Share, Submitted, batch::Size, share::Kind},
};
use serde_json::{Map, Value};
use tokio::signal::unix::{SignalKind, signal};

use super::{
    code::Code,
    control::Ending,
    fabric,
    gone::all_gone,
    options::Parsed,
    order::{Detach, Order},
    printer::{Printer, complain},
    teller::Teller,
};
use crate::{
    api::CallError,
    connect::Fabric,
    job::{self, JobResult, Patience},
    output::Live,
};

/// How often the minions are counted for an order that goes to all of them at once. Another number each time is an inventory
/// that is just filling.
const MAX_COUNTS: u32 = 3;

/// Runs it. `line` is the whole command line without the program's name.
pub async fn ask(read: &Parsed, line: &[String]) -> anyhow::Result<Code> {
    let mut order = Order::read(read, line, rand::random())?;
    let mut fabric = fabric(read).await?;
    let mut printer = Printer::of(read)?;
    if order.preview {
        return preview(&order, &mut fabric, &mut printer).await;
    }
    if let Some((limit, size)) = order.safe
        && matching(&mut fabric, &order.target).await?.len() as u64 >= limit
    {
        order.request.batch = Some(window(size));
        (order.style.batch, order.style.highest) = (!order.style.together, true);
    }
    let ending = match Ending::of(&order.request) {
        Some(ending) => Some(ending.look(&mut fabric).await),
        None => None,
    };
    let Some((submitted, unknown)) = submit(&mut order, &mut fabric).await? else {
        return nobody(&order, &mut printer);
    };
    let settled = match ending {
        Some(ending) => ending.settle(&mut fabric).await,
        None => Ok(()),
    };
    let code = answers(&order, &mut fabric, submitted, unknown, &mut printer).await;
    match settled {
        Ok(()) => Ok(code),
        Err(error) => {
            complain(&format!("ERROR: {error:#}\n"));
            Ok(if code == Code::OK { Code::ERRORS } else { code })
        }
    }
}

/// What comes of an accepted order. Whatever goes wrong from here on, the job goes on.
async fn answers(
    order: &Order,
    fabric: &mut Fabric,
    submitted: Submitted,
    unknown: Vec<String>,
    printer: &mut Printer,
) -> Code {
    let jid = Jid::from_micros(submitted.jid);
    let told = async {
        if let Some(detach) = order.detach {
            printer.print(&detached(jid, detach))?;
            return Ok(Code::OK);
        }
        let waiting = Waiting { order, jid, unknown, patrol: fabric.apart() };
        waiting.follow(fabric, submitted.targets, printer).await
    };
    told.await.unwrap_or_else(|error: anyhow::Error| {
        let look = format!("the job goes on: salt-run jobs.lookup_jid {jid}");
        complain(&format!("salt: {error:#}; {look}\n"));
        Code::NOT_WAITED
    })
}

fn window(size: u32) -> Batch {
    let share = Share { kind: Some(Kind::Count(size)) };
    Batch { size: Some(Size::Window(share)), ..Batch::default() }
}

/// The line of Salt, and for those who wrote `async=True` the one that their documents cut the jid out of.
fn detached(jid: Jid, how: Detach) -> String {
    let line = format!("Executed command with job ID: {jid}\n");
    if how == Detach::Argument { line + &format!("jid: {jid}\n") } else { line }
}

async fn matching(fabric: &mut Fabric, target: &Target) -> anyhow::Result<Vec<Minion>> {
    let request = ListMinionsRequest { down: false, target: target.to_string(), grains: false };
    let mut minions = fabric.minions(request).await?;
    minions.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(minions)
}

async fn preview(order: &Order, fabric: &mut Fabric, printer: &mut Printer) -> anyhow::Result<Code> {
    let ids: Vec<Value> = matching(fabric, &order.target).await?.into_iter().map(|m| m.id.into()).collect();
    if ids.is_empty() {
        return nobody(order, printer);
    }
    printer.print(&order.style.form.text(&ids.into(), false))?;
    Ok(Code::OK)
}

/// Submits it; nothing, if nobody matches. Of a list with ids that the fabric does not know the others get the job, and
/// those are returned beside it: Salt tells them as minions that did not return.
async fn submit(order: &mut Order, fabric: &mut Fabric) -> anyhow::Result<Option<(Submitted, Vec<String>)>> {
    let refusal = match send(order, fabric).await {
        Ok(submitted) => return Ok(Some((submitted, Vec::new()))),
        Err(refusal) => refusal,
    };
    let code = code(&refusal);
    if let (Some(Refusal::Invalid), Expr::List(ids)) = (code, order.target.expr()) {
        let known = all_ids(fabric).await.unwrap_or_default();
        let (known, unknown): (Vec<String>, Vec<String>) =
            ids.iter().map(ToString::to_string).partition(|id| known.contains(id));
        if known.is_empty() {
            return Ok(None);
        }
        if !unknown.is_empty() {
            order.target = Target::list(known.iter().map(String::as_str))?;
            order.request.target = order.target.to_string();
            return Ok(Some((send(order, fabric).await?, unknown)));
        }
    }
    if code == Some(Refusal::NoMatch) { Ok(None) } else { Err(refusal) }
}

/// Sends it. An order for all at once says how many that are, which the top master compares.
async fn send(order: &mut Order, fabric: &mut Fabric) -> anyhow::Result<Submitted> {
    let mut counts = 0;
    loop {
        counts += 1;
        if order.at_once {
            // Where nobody can be asked, the order itself tells why.
            let matching = matching(fabric, &order.target).await.map_or(0, |minions| minions.len() as u64);
            let most = order.request.subset.map_or(u64::MAX, |subset| subset.count.into());
            order.request.confirmed_targets = matching.min(most);
        }
        let sent = tokio::select! {
            sent = job::submit(fabric, &order.request, Patience::ABSENT, Patience::LOST) => sent,
            () = interrupted() => anyhow::bail!("interrupted before the answer came; {}", job::uncertain(&order.request)),
        };
        match sent {
            Err(refusal)
                if order.at_once && counts < MAX_COUNTS && code(&refusal) == Some(Refusal::TooWide) => {}
            sent => return sent,
        }
    }
}

/// The fabric's own code of an error that a call brought.
fn code(error: &anyhow::Error) -> Option<Refusal> {
    error.downcast_ref::<CallError>().and_then(CallError::code)
}

async fn all_ids(fabric: &mut Fabric) -> anyhow::Result<std::collections::BTreeSet<String>> {
    let minions = fabric.minions(ListMinionsRequest::default()).await?;
    Ok(minions.into_iter().map(|m| m.id).collect())
}

/// What Salt says when nobody matches.
fn nobody(order: &Order, printer: &mut Printer) -> anyhow::Result<Code> {
    let text = "No minions matched the target. No command was sent, no jid was assigned.\n";
    match (order.style.together, order.style.form.is_data()) {
        (true, true) => printer.print(&order.style.form.text(&Map::new().into(), false))?,
        (false, true) => complain(text),
        _ => printer.print(text)?,
    }
    complain("ERROR: No return received\n");
    if order.target.asks_pillar() {
        complain("there is no pillar yet: -I and -J, I@ and J@ match nobody\n");
    }
    Ok(Code::NOBODY)
}

/// A job that is waited for.
struct Waiting<'a> {
    order: &'a Order,
    jid: Jid,
    /// Ids of the command line that no minion has.
    unknown: Vec<String>,
    /// A second connection, to look after those who are silent.
    patrol: Fabric,
}

impl Waiting<'_> {
    async fn follow(self, fabric: &mut Fabric, targets: u64, printer: &mut Printer) -> anyhow::Result<Code> {
        let mut teller = Teller::new(self.order.style, self.jid, self.unknown);
        let mut result = JobResult::new(self.jid, targets);
        printer.print(&teller.begin())?;
        let mut live = self.order.progress.then(Live::new);
        let mut written = Ok(());
        let changed = |now: &JobResult| {
            if let Some(live) = &mut live {
                live.update(&now.regions);
            }
            if written.is_ok() {
                written = printer.print(&teller.news(now));
            }
        };
        let ended = tokio::select! {
            ended = job::follow(fabric, &mut result, Patience::LOST, changed) => match ended {
                Ok(job::End::Closed) => Ended::Closed,
                Ok(job::End::GivenUp(why)) => Ended::Left(why),
                Err(error) => return Err(error.context(format!("jid {}", self.jid))),
            },
            gone = all_gone(self.patrol, self.jid) => Ended::Gone(gone),
            () = interrupted() => Ended::Left("Exiting gracefully on Ctrl-c".into()),
        };
        drop(live);
        written?;
        let (silent, left) = match ended {
            Ended::Closed => (Vec::new(), None),
            Ended::Gone(ids) => (ids, None),
            Ended::Left(why) => (Vec::new(), Some(why)),
        };
        let end = teller.end(&result, &silent);
        printer.print(&end.out)?;
        complain(&end.err);
        let Some(why) = left else { return Ok(teller.code()) };
        complain(&format!(
            "{why}\nThis job's jid is: {jid}\nThe minions may not have all finished running and any remaining minions \
             will return upon completion. To look up the return data for this job later, run the following command:\
             \n\nsalt-run jobs.lookup_jid {jid}\n",
            jid = self.jid
        ));
        Ok(Code::NOT_WAITED)
    }
}

/// Ctrl-C, or a SIGTERM, which is the same from a script.
async fn interrupted() {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        let _ = tokio::signal::ctrl_c().await;
        return;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

/// Why nobody waits any more.
enum Ended {
    /// Every target has an outcome.
    Closed,
    /// These are gone, all others have answered.
    Gone(Vec<String>),
    /// Ctrl-C, or the connection stayed away.
    Left(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_jid_is_found_as_the_documents_look_for_it() {
        let jid = Jid::from_micros(1_795_246_616_123_456);
        assert_eq!(detached(jid, Detach::Option), "Executed command with job ID: 20261121073656123456\n");
        let text = detached(jid, Detach::Argument);
        assert!(text.starts_with("Executed command with job ID: 20261121073656123456\n"));
        assert_eq!(text.matches("jid: 20261121073656123456").count(), 1);
        assert_eq!(text.matches("jid: ").count(), 1);
    }
}
