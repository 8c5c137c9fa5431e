//! `relayctl keys`: who has asked to join the fabric, and what operators decide about it. Nobody is let in by a name alone: each
//! decision of that kind names a key by its whole fingerprint.

mod decide;
mod file;
mod list;
mod revoke;
mod view;

use clap::Subcommand;
use relay_proto::trust::{
    DecideReply, DecideRequest, Decided, Key, ListKeysRequest, Named, members_client::MembersClient,
};

use crate::{
    api::CallError,
    connect::{Again, Client, Fabric, Presenting},
    exit::Exit,
    output::Output,
};

/// Largest answer taken, in bytes: a page of 500 keys with all their rivals.
const MAX_MESSAGE: usize = 4 << 20;
/// So many are decided about in one call.
const PER_CALL: usize = 500;

/// What to do with keys.
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// List who has asked to join: pending, accepted, rejected, conflict, quarantined, retired
    #[command(after_help = list::EXAMPLES)]
    List(list::ListArgs),
    /// Show one, with all that is known of it
    #[command(after_help = list::SHOW)]
    Show(list::ShowArgs),
    /// Let newcomers in, each by the fingerprint that it logs
    #[command(after_help = decide::ACCEPT)]
    Accept(decide::AcceptArgs),
    /// Turn newcomers away
    #[command(after_help = decide::REJECT)]
    Reject(decide::EndArgs),
    /// Forget them: their certificates count no more, and the name may be asked for anew
    #[command(after_help = decide::DELETE)]
    Delete(decide::EndArgs),
    /// Print fingerprints, in the form that "accept --file" reads
    #[command(after_help = list::FINGER)]
    Finger(list::ListArgs),
    /// List those of whose keys a copy was seen
    #[command(after_help = list::QUARANTINED)]
    Quarantined(list::ListArgs),
    /// Let a quarantined one in again, with the key of this fingerprint
    #[command(after_help = decide::RELEASE)]
    Release(decide::ReleaseArgs),
    /// Let a certificate that was made by hand count no more
    #[command(after_help = revoke::EXAMPLES)]
    Revoke(revoke::RevokeArgs),
}

pub const EXAMPLES: &str = "\
EXAMPLES:
  relayctl keys list --state pending
  relayctl keys accept web01 --fingerprint 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
  relayctl keys accept --file fingerprints.txt
  relayctl keys delete web01
  relayctl keys quarantined";

/// Runs one of the commands.
pub async fn run(command: KeysCommand, wanted: Option<&str>, out: &Output) -> anyhow::Result<Exit> {
    let mut fabric = Fabric::wanted(wanted)?;
    match command {
        KeysCommand::List(args) => list::list(&args, &mut fabric, out).await,
        KeysCommand::Show(args) => list::show(&args, &mut fabric, out).await,
        KeysCommand::Finger(args) => list::finger(&args, &mut fabric, out).await,
        KeysCommand::Quarantined(args) => list::quarantined(&args, &mut fabric, out).await,
        KeysCommand::Accept(args) => decide::accept(&args, &mut fabric, out).await,
        KeysCommand::Reject(args) => decide::end(&args, Decision::Reject, &mut fabric, out).await,
        KeysCommand::Delete(args) => decide::end(&args, Decision::Delete, &mut fabric, out).await,
        KeysCommand::Release(args) => decide::release(&args, &mut fabric, out).await,
        KeysCommand::Revoke(args) => revoke::run(&args, &mut fabric, out).await,
    }
}

/// What is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Let in.
    Accept,
    /// Turn away.
    Reject,
    /// Forget.
    Delete,
    /// Let in again.
    Release,
}

/// The calls about members.
pub fn client(client: &Client) -> MembersClient<Presenting> {
    MembersClient::new(client.channel()).max_decoding_message_size(MAX_MESSAGE)
}

/// All that a question is about.
pub async fn all(fabric: &mut Fabric, request: ListKeysRequest) -> Result<Vec<Key>, CallError> {
    fabric.pages(async |c: &mut Client| client(c).list(request.clone()).await).await
}

impl crate::connect::Pages for relay_proto::trust::KeysPage {
    type Item = Key;
    fn items(self) -> Vec<Key> {
        self.keys
    }
}

/// Decides about several. Twice is as good as once.
pub async fn decide(
    fabric: &mut Fabric,
    what: Decision,
    keys: Vec<Named>,
) -> Result<Vec<Decided>, CallError> {
    let mut decided = Vec::with_capacity(keys.len());
    for part in keys.chunks(PER_CALL) {
        let request = DecideRequest { keys: part.to_vec() };
        let call = async |c: &mut Client| {
            let (mut client, request) = (client(c), request.clone());
            match what {
                Decision::Accept => client.accept(request).await,
                Decision::Reject => client.reject(request).await,
                Decision::Delete => client.delete(request).await,
                Decision::Release => client.release(request).await,
            }
        };
        let DecideReply { decided: more } = fabric.call(Again::Harmless, call).await?;
        decided.extend(more);
    }
    Ok(decided)
}

#[cfg(test)]
mod tests;
