//! A job's acceptance as rows: once for each request id, under a jid that nobody has.

use prost::Message;
use relay_core::{
    batch::BatchRule,
    ids::{Jid, RequestId},
    owner::{JobHead, WriteError},
};

use super::{
    super::{
        KnownRequest, MAX_SUMMARY_ARGS,
        value::{bits, jid_column, request_column, set_to_blob},
    },
    column::{Columns, text_column},
    session::{Session, Trouble, Value},
    write::{Refused, failed},
};

const KNOWN: &str = "SELECT jid, target_count, digest FROM requests WHERE id = $1";
/// A pruned job's jid stays taken while its request is remembered: minions may remember it, too.
const TAKEN: &str = "SELECT FROM jobs WHERE jid = $1 UNION ALL SELECT FROM requests WHERE jid = $1";
const REQUEST: &str =
    "INSERT INTO requests (id, digest, jid, target_count, created) VALUES ($1, $2, $3, $4, $5)";
const BATCH: &str = "INSERT INTO batches (jid, approved, rule) VALUES ($1, 0, $2)";

pub(super) async fn accept(session: &Session, head: &JobHead) -> Result<(), Refused> {
    let jid = jid_column(head.job.jid);
    session.ready(&[KNOWN, TAKEN]).await?;
    let by_jid: [Value<'_>; 1] = [&jid];
    let (known, taken) =
        tokio::try_join!(biased; request(session, head.request_id), session.row(TAKEN, &by_jid))?;
    if let Some(KnownRequest { jid, targets, digest }) = known {
        let same = digest == head.request_digest;
        return Err(Refused::Because(WriteError::RequestKnown { jid, targets, same }));
    }
    if taken.is_some() {
        return Err(Refused::Because(WriteError::JidTaken(head.job.jid)));
    }
    insert_job(session, head).await?;
    insert_batch(session, head).await?;
    let id = request_column(head.request_id);
    let (targets, created) = (bits(head.targets.len()), bits(head.created));
    session.execute(REQUEST, &[&&id[..], &&head.request_digest[..], &jid, &targets, &created]).await?;
    Ok(())
}

pub(super) async fn request(session: &Session, id: RequestId) -> Result<Option<KnownRequest>, Trouble> {
    let Some(row) = session.row(KNOWN, &[&&request_column(id)[..]]).await? else { return Ok(None) };
    let c = Columns::of(&row, "requests", &"some id");
    let jid = Jid::from_micros(c.bits("jid")?);
    Ok(Some(KnownRequest { jid, targets: c.bits("target_count")?, digest: c.bytes("digest")? }))
}

async fn insert_job(session: &Session, head: &JobHead) -> Result<(), Trouble> {
    let sql = "INSERT INTO jobs
            (jid, epoch, created, target_count, inventory_version, delivery_limit, request_id, request_digest, digest,
             function, caller, args, target, targets, leaves, envelope)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)";
    let args = Some(&head.spec.args[..]).filter(|args| args.len() <= MAX_SUMMARY_ARGS);
    session
        .execute(
            sql,
            &[
                &jid_column(head.job.jid),
                &bits(head.epoch.0),
                &bits(head.created),
                &bits(head.targets.len()),
                &bits(head.inventory_version),
                &bits(head.delivery_limit),
                &&request_column(head.request_id)[..],
                &&head.request_digest[..],
                &&head.job.digest[..],
                &text_column(&head.spec.function),
                &text_column(&head.spec.caller),
                &args,
                &text_column(&head.target),
                &set_to_blob(&head.targets),
                &&head.leaves[..],
                &&head.job.envelope[..],
            ],
        )
        .await?;
    Ok(())
}

async fn insert_batch(session: &Session, head: &JobHead) -> Result<(), Refused> {
    if head.batch == BatchRule::default() {
        return Ok(());
    }
    let rule = relay_proto::batch::encode(&head.batch);
    let blob = rule.encode_to_vec();
    // What could not be read again would keep the next owner from beginning.
    relay_proto::batch::decode(rule).map_err(failed)?;
    session.execute(BATCH, &[&jid_column(head.job.jid), &blob]).await?;
    Ok(())
}
