//! The service `Enrol`: newcomers who ask to join, members who renew.

use std::net::IpAddr;

use relay_core::{
    audit::{Event as Report, Kind},
    enrol::{
        Asking, Enrolled, Fingerprint, State, Taken,
        renewal::{Renewed, Renewing},
        token,
    },
};
use relay_proto::{
    Code,
    trust::{
        Bundle, EnrolReply, EnrolRequest, Issued, Pending, Refused, RenewRequest, enrol_reply,
        enrol_server::Enrol,
    },
};
use relay_runtime::{
    clock::wall,
    enrol::{
        FORMAT,
        gate::{origin, syndic},
        newcomer::of_fabric,
        proof::{Asked, Held, joins},
    },
    identity::peer_identity,
    link::accept::Peer,
    trust::{Enrolment, enrolment::BY_HAND},
};
use tonic::{Request, Response, Status};
use tracing::{info, warn};

use super::{Changed, Desk, MAX_TRIES, kept::Name, report, tokens::Good};

/// When who waits asks again, in milliseconds: at least,
const ASK_AGAIN: u64 = 2_000;
/// and so much more for each other one who waits. A fabric of 5,000 newcomers makes 100 requests a second.
const ASK_AGAIN_EACH: u64 = 10;
/// When who was refused asks again, in milliseconds.
const ASK_MUCH_LATER: u64 = 60_000;
/// Longest text that says what software a newcomer is.
const MAX_SOFTWARE: usize = 64;

/// The service.
#[derive(Clone)]
pub struct EnrolService(Desk);

impl EnrolService {
    /// At this desk.
    pub fn new(desk: Desk) -> EnrolService {
        EnrolService(desk)
    }
}

/// A request to join, its form checked.
struct Newcomer<'a> {
    name: Name,
    key: Asked,
    /// Of its token.
    hash: Option<Fingerprint>,
    software: String,
    origin: &'a Origin,
}

/// Where a request comes from.
struct Origin {
    peer: Peer,
    from: String,
    via: String,
}

impl Origin {
    fn of<T>(request: &Request<T>, said: impl FnOnce(&T) -> &str) -> Result<Origin, Status> {
        let peer = request.extensions().get::<Peer>().cloned();
        let peer = peer.ok_or_else(|| Code::Denied.status("nobody asks"))?;
        let from = origin(&peer, said(request.get_ref()));
        let via = syndic(&peer).map(|syndic| syndic.id().to_owned()).unwrap_or_default();
        Ok(Origin { peer, from, via })
    }
}

#[tonic::async_trait]
impl Enrol for EnrolService {
    async fn request(&self, request: Request<EnrolRequest>) -> Result<Response<EnrolReply>, Status> {
        let origin = Origin::of(&request, |request| &request.from)?;
        let _turn = self.0.pace.turn(&origin.peer)?;
        self.0.asked(&origin, request.into_inner()).await.map(Response::new)
    }

    async fn renew(&self, request: Request<RenewRequest>) -> Result<Response<EnrolReply>, Status> {
        let origin = Origin::of(&request, |request| &request.from)?;
        let _turn = self.0.pace.turn(&origin.peer)?;
        self.0.renewed(&origin, request.into_inner()).await.map(Response::new)
    }
}

fn invalid(why: impl ToString) -> Status {
    Code::Invalid.status(why.to_string())
}

fn format(found: u32) -> Result<(), Status> {
    let why = || {
        format!(
            "a request of format {found} is not understood here (this is {FORMAT}): upgrade the older one"
        )
    };
    if found == FORMAT { Ok(()) } else { Err(Code::Version.status(why())) }
}

impl Desk {
    async fn asked(&self, origin: &Origin, request: EnrolRequest) -> Result<EnrolReply, Status> {
        format(request.format)?;
        let name =
            Name::of(&request.id, &request.role, &request.region, &self.parts.fabric).map_err(invalid)?;
        self.may_pass(origin, &name)?;
        let key = Asked::read(&request.csr).map_err(invalid)?;
        let hash = joins(&request, name.who()).map_err(invalid)?;
        let software: String =
            request.software.chars().filter(|c| !c.is_control()).take(MAX_SOFTWARE).collect();
        let asked = Newcomer { name, key, hash, software, origin };
        for _ in 0..MAX_TRIES {
            if let Some(changed) = self.ask_once(&asked, wall()).await? {
                return self.answer(&asked, changed);
            }
        }
        Err(Desk::crowded(&asked.name))
    }

    async fn ask_once(&self, asked: &Newcomer<'_>, now: u64) -> Result<Option<Changed<Taken>>, Status> {
        let Newcomer { name, key, hash, software, origin } = asked;
        let stood = self.read(name).await?;
        let known = stood.as_ref().map(|stood| &stood.record);
        // Who is a member has no use for a token: it may be spent by now, and by this one.
        let member = known.is_some_and(|r| r.state == State::Accepted && r.fingerprint == key.fingerprint);
        let token = match hash.as_ref().filter(|_| !member) {
            Some(hash) => Some(self.good_token(hash, name, origin.from.parse().ok(), now).await?),
            None => None,
        };
        let asking = Asking {
            fingerprint: key.fingerprint,
            at: now,
            from: &origin.from,
            via: &origin.via,
            software,
            token: token.as_ref().map(|token| token.name.as_str()),
            uid: Desk::new_uid(),
            until: self.until(now),
            room: self.waiting.has_room(&origin.from),
        };
        let step = Enrolled::asked(known, &asking);
        let spent = matches!(step.answer, Taken::Issued { joined: true, .. });
        let more = token.filter(|_| spent).map(Good::spend).into_iter().collect();
        let written = step.event.map(|event| {
            report(name, &origin.from, "nobody", event, step.record.as_ref())
                .with("via", &origin.via)
                .with("asking_key", key.fingerprint)
        });
        self.settle(name, stood, step, more, written).await
    }

    fn answer(&self, asked: &Newcomer<'_>, changed: Changed<Taken>) -> Result<EnrolReply, Status> {
        let Newcomer { name, key, origin, .. } = asked;
        match changed.answer {
            Taken::Waits => Ok(self.waits(key)),
            Taken::Issued { uid, generation, joined } => {
                if joined {
                    info!(%name, from = origin.from, fingerprint = %key.fingerprint, "joined by a token");
                }
                self.issue(name, key, Enrolment { uid, generation })
            }
            Taken::Refused(state) => Ok(refused(state, changed.record.as_ref())),
            Taken::Full => {
                warn!(%name, from = origin.from, "turned away: too many wait to be accepted");
                Err(Code::Busy.status("too many wait to be accepted: ask again later"))
            }
        }
    }

    async fn renewed(&self, origin: &Origin, request: RenewRequest) -> Result<EnrolReply, Status> {
        format(request.format)?;
        let held = Held::read(request.chain.into_iter().map(Into::into).collect()).map_err(invalid)?;
        let (leaf, between) = held.chain.split_first().ok_or_else(|| invalid("there is no certificate"))?;
        let who = peer_identity(leaf, &self.parts.fabric).map_err(invalid)?;
        let name = Name::new(who).map_err(invalid)?;
        self.may_pass(origin, &name)?;
        held.signed(&request.csr, &request.signature).map_err(invalid)?;
        let next = Asked::read(&request.csr).map_err(invalid)?;
        let roots = self.parts.authority.roots();
        let of_us = of_fabric(leaf, between, &roots, held.last_moment());
        of_us.map_err(|error| {
            Code::Denied.status(format!("the certificate is not of this fabric: {error}"))
        })?;
        let Enrolment { uid, generation } = held.enrolment;
        if uid == 0 || uid >= BY_HAND {
            return Err(Code::Denied.status("this certificate was issued by hand, and is replaced by hand"));
        }
        let now = wall();
        let renewing = Renewing {
            uid,
            generation,
            held: held.fingerprint,
            ends: held.span.1.saturating_mul(1_000_000),
            next: next.fingerprint,
            from: &origin.from,
            at: now,
            until: self.until(now),
        };
        for _ in 0..MAX_TRIES {
            let stood = self.read(&name).await?;
            let step = Enrolled::renewed(stood.as_ref().map(|stood| &stood.record), &renewing);
            let written = step.event.map(|event| {
                report(&name, name.who().id(), "certificate", event, step.record.as_ref())
                    .with("via", &origin.via)
                    .with("from", &origin.from)
            });
            if let Some(changed) = self.settle(&name, stood, step, Vec::new(), written).await? {
                return self.answer_renewal(&name, &next, &renewing, changed);
            }
        }
        Err(Desk::crowded(&name))
    }

    fn answer_renewal(
        &self,
        name: &Name,
        next: &Asked,
        renewing: &Renewing<'_>,
        changed: Changed<Renewed>,
    ) -> Result<EnrolReply, Status> {
        let (uid, from) = (renewing.uid, renewing.from);
        match changed.answer {
            Renewed::Issued { generation } => self.issue(name, next, Enrolment { uid, generation }),
            Renewed::Refused(state) => {
                warn!(%name, from, %state, generation = renewing.generation, "a renewal is refused");
                Ok(refused(state, changed.record.as_ref()))
            }
            Renewed::TooLate => {
                let why = "its certificate ended too long ago: delete it, and let it join anew";
                Ok(told(State::Retired, why))
            }
        }
    }

    /// A syndic passes on for its own region only, and everybody else asks for himself.
    fn may_pass(&self, origin: &Origin, name: &Name) -> Result<(), Status> {
        let Some(syndic) = syndic(&origin.peer) else { return Ok(()) };
        if syndic.region() == name.who().region() {
            return Ok(());
        }
        let why = format!("{syndic} passes on for region {} only, and {name} is not of it", syndic.region());
        warn!(%name, why, "a request to join is refused");
        self.parts
            .audit
            .note(Report::new(Kind::Deny, syndic.to_dns(), "certificate").about(name).with("why", &why));
        Err(Code::Denied.status(why))
    }

    fn waits(&self, key: &Asked) -> EnrolReply {
        let waiting = u64::try_from(self.waiting.all()).unwrap_or(u64::MAX);
        let retry_after_ms = waiting.saturating_mul(ASK_AGAIN_EACH).saturating_add(ASK_AGAIN);
        let pending = Pending { retry_after_ms, fingerprint: key.fingerprint.to_string() };
        EnrolReply { state: Some(enrol_reply::State::Pending(pending)) }
    }

    fn issue(&self, name: &Name, key: &Asked, enrolment: Enrolment) -> Result<EnrolReply, Status> {
        let authority = &self.parts.authority;
        let chain = authority.issue(name.who(), &key.spki, enrolment).map_err(|why| {
            warn!(%name, why, "a certificate cannot be made");
            Code::Denied.status(why)
        })?;
        info!(%name, uid = format!("{:016x}", enrolment.uid), generation = enrolment.generation, "certificate given");
        let bundle = authority.bundle().and_then(|bytes| <Bundle as prost::Message>::decode(bytes).ok());
        let issued = Issued { chain: chain.into_iter().map(|der| der.to_vec()).collect(), bundle };
        Ok(EnrolReply { state: Some(enrol_reply::State::Issued(issued)) })
    }

    /// The token of this hash, if it is good for this name now.
    async fn good_token(
        &self,
        hash: &Fingerprint,
        name: &Name,
        from: Option<IpAddr>,
        now: u64,
    ) -> Result<Good, Status> {
        let found = self.token(hash).await?;
        let good = match &found {
            Some(found) => found.token.admits(name.who(), from, now),
            None => Err(token::NotGood::Unknown),
        };
        match (good, found) {
            (Ok(()), Some(found)) => Ok(found),
            (good, _) => {
                let why = good.err().map(|why| why.to_string()).unwrap_or_default();
                let from = from.map(|from| from.to_string()).unwrap_or_default();
                warn!(%name, from, token = token::name(hash), why, "a join token lets nobody in");
                let event = Report::new(Kind::Deny, &*from, "token").about(name);
                self.parts.audit.note(event.with("token", token::name(hash)).with("why", why));
                // Not why: who guesses learns nothing.
                Err(Code::Denied.status("the join token is not good for this"))
            }
        }
    }
}

/// What somebody is told who gets nothing.
fn refused(state: State, record: Option<&Enrolled>) -> EnrolReply {
    let why = match state {
        State::Rejected => "an operator has rejected this key",
        State::Conflict => {
            "another key has asked for this name, or has it; an operator has to decide (relayctl keys show)"
        }
        State::Quarantined => match record.map(|record| record.why.as_str()) {
            Some(why) if !why.is_empty() => why,
            _ => "a copy of its keys was seen",
        },
        _ => "this enrolment was deleted: remove the key and ask anew",
    };
    told(state, why)
}

fn told(state: State, why: &str) -> EnrolReply {
    let refused = Refused { state: state.word().into(), why: why.into(), retry_after_ms: ASK_MUCH_LATER };
    EnrolReply { state: Some(enrol_reply::State::Refused(refused)) }
}
