//! The service `Members`: what operators see of enrolment, and what they decide.

use relay_core::{
    access::{Caller, Verb},
    audit::{Event as Report, Kind},
    enrol::{
        Denial, Enrolled, Fingerprint, State, Step,
        decision::{Deciding, Done, Undecided},
        token::{DEFAULT_TTL_S, MAX_CIDRS, MAX_GLOB_BYTES, MAX_TTL_S, MAX_USES, Token, name},
    },
    identity::{Role, check_region},
    target::Glob,
};
use relay_proto::{
    Code,
    trust::{self as wire, members_server::Members},
};
use relay_runtime::{authority::ISSUER_LIFE, clock::wall, enrol::proof::token_hash};
use tonic::{Request, Response, Status};
use tracing::info;

use super::{Desk, MAX_TRIES, kept::Name, report};
use crate::{
    access::{Access, caller},
    streams::{Streamed, Streams},
};

/// Most that one call decides about: a file of a whole fabric is sent in parts.
pub const MAX_DECISIONS: usize = 1_000;
/// Names on one page.
const PER_PAGE: usize = 500;
/// Most globs of ids in one question.
const MAX_GLOBS: usize = 64;

/// The service.
#[derive(Clone)]
pub struct MembersService {
    desk: Desk,
    access: Access,
    streams: Streams,
}

impl MembersService {
    /// At this desk, behind this gate.
    pub fn new(desk: Desk, access: Access, streams: Streams) -> MembersService {
        MembersService { desk, access, streams }
    }

    async fn may<T>(
        &self,
        request: &Request<T>,
        verb: Verb,
        about: &str,
    ) -> Result<std::sync::Arc<Caller>, Status> {
        let caller = caller(request)?;
        self.access.may(&caller, verb, false, about).await?;
        Ok(caller)
    }

    /// Decides about each of several by itself.
    async fn decide(
        &self,
        request: Request<wire::DecideRequest>,
        verb: Verb,
        rule: Rule,
    ) -> Result<Response<wire::DecideReply>, Status> {
        let about =
            request.get_ref().keys.iter().map(|key| key.id.as_str()).take(16).collect::<Vec<_>>().join(" ");
        let caller = self.may(&request, verb, &about).await?;
        let named = request.into_inner().keys;
        if named.len() > MAX_DECISIONS {
            return Err(
                Code::Invalid.status(format!("at most {MAX_DECISIONS} can be decided about in one call"))
            );
        }
        let mut decided = Vec::with_capacity(named.len());
        for named in &named {
            decided.push(self.desk.decide(&caller, named, rule).await?);
        }
        Ok(Response::new(wire::DecideReply { decided }))
    }
}

impl Desk {
    /// Everybody that a question is about.
    pub(super) async fn listed(&self, request: wire::ListKeysRequest) -> Result<Vec<wire::Key>, Status> {
        let filter = Filter::read(request)?;
        let all = self.all().await?;
        let taken = all.iter().filter(|(name, stood)| filter.takes(name, &stood.record));
        Ok(taken.map(|(name, stood)| shown(name, &stood.record)).collect())
    }

    /// One decision.
    pub(super) async fn decide(
        &self,
        caller: &Caller,
        named: &wire::Named,
        rule: Rule,
    ) -> Result<wire::Decided, Status> {
        let name = Name::of(&named.id, &named.role, &named.region, &self.parts.fabric);
        let name = name.map_err(|why| Code::Invalid.status(why))?;
        let print = match named.fingerprint.as_str() {
            "" => None,
            text => Some(text.parse::<Fingerprint>().map_err(|e| Code::Invalid.status(e.to_string()))?),
        };
        for _ in 0..MAX_TRIES {
            let stood = self.read(&name).await?;
            let deciding = Deciding { by: caller.name(), at: wall() };
            let known = stood.as_ref().map(|stood| &stood.record);
            let step = match known.ok_or(Undecided::Nobody).and_then(|known| rule(known, print, deciding)) {
                Ok(step) => step,
                Err(why) => return Ok(undecided(&name, known, why)),
            };
            let written = step
                .event
                .map(|event| report(&name, caller.name(), caller.how().word(), event, step.record.as_ref()));
            let Some(changed) = self.settle(&name, stood, step, Vec::new(), written).await? else { continue };
            let state = changed.record.as_ref().map(|record| record.state.word()).unwrap_or_default();
            info!(%name, by = caller.name(), state, before = changed.answer == Done::Before, "decided");
            let key = changed.record.map(|record| shown(&name, &record));
            return Ok(wire::Decided { key, done: true, why: String::new() });
        }
        Err(Desk::crowded(&name))
    }
}

/// To let in.
pub(super) fn let_in(
    record: &Enrolled,
    print: Option<Fingerprint>,
    now: Deciding<'_>,
) -> Result<Step<Done>, Undecided> {
    record.accept(print.ok_or(Undecided::Fingerprint)?, Desk::new_uid(), now)
}

/// What a decision leads to.
pub(super) type Rule = fn(&Enrolled, Option<Fingerprint>, Deciding<'_>) -> Result<Step<Done>, Undecided>;

fn undecided(name: &Name, known: Option<&Enrolled>, why: Undecided) -> wire::Decided {
    let who = name.who();
    let nobody = || wire::Key {
        id: who.id().into(),
        role: who.role().word().into(),
        region: who.region().to_string(),
        ..wire::Key::default()
    };
    let key = known.map_or_else(nobody, |record| shown(name, record));
    wire::Decided { key: Some(key), done: false, why: why.to_string() }
}

/// A record as operators see it.
fn shown(name: &Name, record: &Enrolled) -> wire::Key {
    let who = name.who();
    wire::Key {
        id: who.id().into(),
        role: who.role().word().into(),
        region: who.region().to_string(),
        state: record.shown().word().into(),
        fingerprint: record.fingerprint.to_string(),
        uid: record.uid,
        generation: record.generation,
        asked: record.asked,
        decided: record.decided,
        by: record.by.clone(),
        from: record.from.clone(),
        via: record.via.clone(),
        software: record.software.clone(),
        why: record.why.clone(),
        until: record.until,
        rivals: record
            .rivals
            .iter()
            .map(|rival| wire::Rival {
                fingerprint: rival.fingerprint.to_string(),
                from: rival.from.clone(),
                asked: rival.asked,
            })
            .collect(),
    }
}

/// Which records a question is about.
struct Filter {
    states: Vec<State>,
    ids: Vec<Glob>,
    role: String,
    region: String,
}

impl Filter {
    fn read(request: wire::ListKeysRequest) -> Result<Filter, Status> {
        let state = |word: &String| {
            State::of(word)
                .ok_or_else(|| Code::Invalid.status(format!("{word:?} is no state of an enrolment")))
        };
        let long =
            request.ids.len() > MAX_GLOBS || request.ids.iter().any(|glob| glob.len() > MAX_GLOB_BYTES);
        if long {
            let why = format!("at most {MAX_GLOBS} globs of ids, of at most {MAX_GLOB_BYTES} bytes each");
            return Err(Code::Invalid.status(why));
        }
        Ok(Filter {
            states: request.states.iter().map(state).collect::<Result<_, _>>()?,
            ids: request.ids.iter().map(|glob| Glob::new(glob)).collect(),
            role: request.role,
            region: request.region,
        })
    }

    fn takes(&self, name: &Name, record: &Enrolled) -> bool {
        let who = name.who();
        // A member that has rivals is in two lists.
        let conflict = self.states.contains(&State::Conflict) && !record.rivals.is_empty();
        (self.states.is_empty() || self.states.contains(&record.shown()) || conflict)
            && (self.ids.is_empty() || self.ids.iter().any(|glob| glob.matches(who.id())))
            && (self.role.is_empty() || self.role == who.role().word())
            && (self.region.is_empty() || self.region == who.region().as_str())
    }
}

#[tonic::async_trait]
impl Members for MembersService {
    type ListStream = Streamed<wire::KeysPage>;

    async fn list(
        &self,
        request: Request<wire::ListKeysRequest>,
    ) -> Result<Response<Self::ListStream>, Status> {
        self.may(&request, Verb::KeysList, "").await?;
        let keys = self.desk.listed(request.into_inner()).await?;
        self.streams.paged(keys, PER_PAGE, |keys| wire::KeysPage { keys })
    }

    async fn accept(
        &self,
        request: Request<wire::DecideRequest>,
    ) -> Result<Response<wire::DecideReply>, Status> {
        whole(request.get_ref())?;
        self.decide(request, Verb::KeysAccept, let_in).await
    }

    async fn reject(
        &self,
        request: Request<wire::DecideRequest>,
    ) -> Result<Response<wire::DecideReply>, Status> {
        self.decide(request, Verb::KeysReject, |record, print, now| record.reject(print, now)).await
    }

    async fn delete(
        &self,
        request: Request<wire::DecideRequest>,
    ) -> Result<Response<wire::DecideReply>, Status> {
        self.decide(request, Verb::KeysDelete, |record, print, now| record.delete(print, now)).await
    }

    async fn release(
        &self,
        request: Request<wire::DecideRequest>,
    ) -> Result<Response<wire::DecideReply>, Status> {
        whole(request.get_ref())?;
        self.decide(request, Verb::KeysRelease, |record, print, now| {
            record.release(print.ok_or(Undecided::Fingerprint)?, Desk::new_uid(), now)
        })
        .await
    }

    async fn revoke(
        &self,
        request: Request<wire::RevokeRequest>,
    ) -> Result<Response<wire::RevokeReply>, Status> {
        let wire::RevokeRequest { uid, up_to_generation } = *request.get_ref();
        if uid == 0 {
            let why = "a certificate without an enrolment has no number to revoke: rotate its issuer (relayctl ca rotate-issuer)";
            return Err(Code::Invalid.status(why));
        }
        let about = format!("{uid:016x}");
        let caller = self.may(&request, Verb::KeysDelete, &about).await?;
        let event = Report::new(Kind::Key, caller.name(), caller.how().word()).about(&about);
        self.desk.record(event.with("event", "certificate.revoked").with("up_to", up_to_generation)).await?;
        // As long as the issuer of any of them may count.
        let until = wall() + ISSUER_LIFE.as_micros() as u64;
        let denied = self.desk.parts.authority.deny(Denial { uid, up_to: up_to_generation, until }).await;
        denied.map_err(|why| Code::Store.status(why))?;
        info!(uid = about, by = caller.name(), up_to = up_to_generation, "revoked");
        Ok(Response::new(wire::RevokeReply {}))
    }

    async fn create_token(
        &self,
        request: Request<wire::CreateTokenRequest>,
    ) -> Result<Response<wire::JoinToken>, Status> {
        let caller = self.may(&request, Verb::TokensCreate, &request.get_ref().id).await?;
        let (hash, token) = made(request.into_inner(), caller.name())?;
        let event = Report::new(Kind::Token, caller.name(), caller.how().word()).about(name(&hash));
        let event =
            event.with("event", "token.created").with("role", token.role).with("region", &token.region);
        let event = event.with("id", &token.id).with("uses", token.uses).with("expires", token.expires);
        self.desk.record(event).await?;
        self.desk.keep_token(&hash, &token).await?;
        info!(token = name(&hash), by = caller.name(), region = %token.region, id = token.id, "join token made");
        Ok(Response::new(shown_token(&name(&hash), &token)))
    }

    async fn list_tokens(
        &self,
        request: Request<wire::ListTokensRequest>,
    ) -> Result<Response<wire::ListTokensReply>, Status> {
        self.may(&request, Verb::TokensList, "").await?;
        let mut tokens = self.desk.tokens().await?;
        tokens.sort_by_key(|found| found.token.created);
        let tokens = tokens.iter().map(|found| shown_token(&found.name, &found.token)).collect();
        Ok(Response::new(wire::ListTokensReply { tokens }))
    }

    async fn revoke_token(
        &self,
        request: Request<wire::RevokeTokenRequest>,
    ) -> Result<Response<wire::JoinToken>, Status> {
        let caller = self.may(&request, Verb::TokensRevoke, &request.get_ref().name).await?;
        let event = Report::new(Kind::Token, caller.name(), caller.how().word());
        self.desk.record(event.about(&request.get_ref().name).with("event", "token.revoked")).await?;
        let found = self.desk.revoke_token(&request.into_inner().name).await?;
        info!(token = found.name, by = caller.name(), "join token revoked");
        Ok(Response::new(shown_token(&found.name, &found.token)))
    }
}

/// Nobody is let in by a name alone.
fn whole(request: &wire::DecideRequest) -> Result<(), Status> {
    match request.keys.iter().find(|key| key.fingerprint.is_empty()) {
        Some(key) => Err(Code::Invalid.status(format!("{}: nobody is let in without a fingerprint", key.id))),
        None => Ok(()),
    }
}

/// A token as it is asked for.
pub(super) fn made(request: wire::CreateTokenRequest, by: &str) -> Result<(Fingerprint, Token), Status> {
    let invalid = |why: String| Code::Invalid.status(why);
    let wire::CreateTokenRequest { public, role, region, id, uses, ttl_s, cidrs } = request;
    if public.len() != 32 {
        return Err(invalid("the token's public key has 32 bytes".into()));
    }
    let role: Role = role.parse().map_err(|e: relay_core::identity::IdentityError| invalid(e.to_string()))?;
    if !matches!(role, Role::Minion | Role::Syndic) {
        return Err(invalid(format!("no {role} joins by a token: minions and syndics do")));
    }
    if id.is_empty() || id.len() > MAX_GLOB_BYTES {
        return Err(invalid(format!("the glob of ids has 1 to {MAX_GLOB_BYTES} bytes")));
    }
    if uses == 0 || uses > MAX_USES {
        return Err(invalid(format!("a token has 1 to {MAX_USES} uses")));
    }
    let ttl_s = if ttl_s == 0 { DEFAULT_TTL_S } else { ttl_s };
    if ttl_s > MAX_TTL_S {
        return Err(invalid(format!("a token lives for {} days at most", MAX_TTL_S / 86_400)));
    }
    if cidrs.len() > MAX_CIDRS {
        return Err(invalid(format!("a token has {MAX_CIDRS} networks at most")));
    }
    let network = |text: &String| {
        text.parse()
            .map_err(|_| invalid(format!("{text:?} is no network (write 10.1.0.0/16 or 2001:db8::/32)")))
    };
    let created = wall();
    let token = Token {
        role,
        region: check_region(&region).map_err(|e| invalid(e.to_string()))?,
        id,
        uses,
        used: 0,
        expires: created + ttl_s * 1_000_000,
        cidrs: cidrs.iter().map(network).collect::<Result<_, _>>()?,
        created,
        by: by.into(),
    };
    Ok((token_hash(&public), token))
}

fn shown_token(name: &str, token: &Token) -> wire::JoinToken {
    wire::JoinToken {
        name: name.into(),
        role: token.role.word().into(),
        region: token.region.to_string(),
        id: token.id.clone(),
        uses: token.uses,
        used: token.used,
        created: token.created,
        expires: token.expires,
        by: token.by.clone(),
        cidrs: token.cidrs.iter().map(ToString::to_string).collect(),
    }
}
