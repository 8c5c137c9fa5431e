//! What a connection to a top master is used for: the calls of its services.

use std::ops::{Deref, DerefMut};

use relay_proto::{access::access_client::AccessClient, operator::operator_client::OperatorClient};

use super::{MAX_MESSAGE, presenting::Presenting};

/// The services of one top master. It stands for the one that most calls are made of; the others are a method each.
#[derive(Clone)]
pub struct Client {
    channel: Presenting,
    operator: OperatorClient<Presenting>,
}

impl Client {
    /// The services at the other end of a connection.
    pub fn new(channel: Presenting) -> Client {
        let operator = OperatorClient::new(channel.clone()).max_decoding_message_size(MAX_MESSAGE);
        Client { channel, operator }
    }

    /// Logging in and out.
    pub fn access(&self) -> AccessClient<Presenting> {
        AccessClient::new(self.channel.clone())
    }

    /// The connection, for the client of any other service.
    pub fn channel(&self) -> Presenting {
        self.channel.clone()
    }
}

impl Deref for Client {
    type Target = OperatorClient<Presenting>;
    fn deref(&self) -> &Self::Target {
        &self.operator
    }
}

impl DerefMut for Client {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.operator
    }
}
