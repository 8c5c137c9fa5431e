//! A job's acceptance as rows: once for each request id, under a jid that nobody has.

use prost::Message;
use relay_core::{
    batch::BatchRule,
    ids::{Jid, RequestId},
    owner::{JobHead, WriteError},
};
use rusqlite::{Connection, OptionalExtension, named_params, params};

use super::{
    super::{
        KnownRequest, MAX_SUMMARY_ARGS,
        value::{bits, jid_column, request_column, set_to_blob},
    },
    write::{Refused, failed},
};

pub(super) fn accept(connection: &Connection, head: &JobHead) -> Result<(), Refused> {
    if let Some(known) = known_request(connection, head)? {
        return Err(Refused::Because(known));
    }
    let jid = jid_column(head.job.jid);
    // A pruned job's jid stays taken while its request is remembered: minions may remember it, too.
    let sql = "SELECT 1 FROM jobs WHERE jid = ?1 UNION ALL SELECT 1 FROM requests WHERE jid = ?1";
    if connection.prepare_cached(sql)?.exists([jid])? {
        return Err(Refused::Because(WriteError::JidTaken(head.job.jid)));
    }
    insert_job(connection, head)?;
    insert_batch(connection, head)?;
    let sql = "INSERT INTO requests (id, digest, jid, target_count, created) VALUES (?1, ?2, ?3, ?4, ?5)";
    let (id, targets) = (request_column(head.request_id), bits(head.targets.len()));
    let values = params![id, head.request_digest, jid, targets, bits(head.created)];
    connection.prepare_cached(sql)?.execute(values)?;
    Ok(())
}

fn known_request(connection: &Connection, head: &JobHead) -> rusqlite::Result<Option<WriteError>> {
    let known = request(connection, head.request_id)?;
    Ok(known.map(|KnownRequest { jid, targets, digest }| WriteError::RequestKnown {
        jid,
        targets,
        same: digest == head.request_digest,
    }))
}

pub(super) fn request(connection: &Connection, id: RequestId) -> rusqlite::Result<Option<KnownRequest>> {
    let sql = "SELECT jid, target_count, digest FROM requests WHERE id = ?1";
    let read = |row: &rusqlite::Row<'_>| {
        Ok(KnownRequest {
            jid: Jid::from_micros(row.get::<_, i64>(0)? as u64),
            targets: row.get::<_, i64>(1)? as u64,
            digest: row.get(2)?,
        })
    };
    connection.prepare_cached(sql)?.query_row([request_column(id)], read).optional()
}

fn insert_job(connection: &Connection, head: &JobHead) -> rusqlite::Result<()> {
    let sql = "INSERT INTO jobs
            (jid, epoch, created, unresolved, cancelled, dropped, target_count, inventory_version, delivery_limit,
             request_id, request_digest, digest, function, caller, args, target, targets, leaves,
             envelope)
        VALUES (:jid, :epoch, :created, 0, 0, 0, :target_count, :inventory_version, :delivery_limit,
             :request_id, :request_digest, :digest, :function, :caller, :args, :target, :targets, :leaves,
             :envelope)";
    let args = Some(&head.spec.args[..]).filter(|args| args.len() <= MAX_SUMMARY_ARGS);
    let inserted = connection.prepare_cached(sql)?.execute(named_params! {
        ":jid": jid_column(head.job.jid),
        ":epoch": bits(head.epoch.0),
        ":created": bits(head.created),
        ":target_count": bits(head.targets.len()),
        ":inventory_version": bits(head.inventory_version),
        ":delivery_limit": bits(head.delivery_limit),
        ":request_id": request_column(head.request_id),
        ":request_digest": head.request_digest,
        ":digest": head.job.digest,
        ":function": head.spec.function,
        ":caller": head.spec.caller,
        ":args": args,
        ":target": head.target,
        ":targets": set_to_blob(&head.targets),
        ":leaves": &head.leaves[..],
        ":envelope": &head.job.envelope[..],
    });
    inserted.map(|_| ())
}

fn insert_batch(connection: &Connection, head: &JobHead) -> Result<(), Refused> {
    if head.batch == BatchRule::default() {
        return Ok(());
    }
    let rule = relay_proto::batch::encode(&head.batch);
    let blob = rule.encode_to_vec();
    // What could not be read again would keep the next owner from beginning.
    relay_proto::batch::decode(rule).map_err(failed)?;
    let sql = "INSERT INTO batches (jid, approved, rule) VALUES (?1, 0, ?2)";
    connection.prepare_cached(sql)?.execute(params![jid_column(head.job.jid), blob])?;
    Ok(())
}
