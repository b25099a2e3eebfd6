//! Many calls at once: written together, and their answers told apart by the serial numbers of the calls. A call of zbus's own is a
//! write, a timer and a wait of its own.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::Pin;

use futures_core::Stream;
use zbus::message::Type;
use zbus::{Connection, Message, MessageStream};

use super::link::{ANSWER, race};

/// How many calls wait for their answers at the same time. dbus-daemon(1) refuses more than 128 of one connection.
const AT_ONCE: usize = 64;

/// The answers to these calls, in their order. When the connection breaks, or no answer comes for too long, each call without an answer
/// fails.
pub(super) async fn answers(
    connection: &Connection,
    calls: &[Message],
) -> Vec<zbus::Result<Message>> {
    // Before the first call, so that no answer is missed.
    let mut heard = MessageStream::from(connection);
    let mut answers: Vec<Option<zbus::Result<Message>>> = calls.iter().map(|_| None).collect();
    let fault = collect(connection, &mut heard, calls, &mut answers).await;
    let fault = fault.err().unwrap_or(zbus::Error::InvalidReply);
    let answer = |answer: Option<_>| answer.unwrap_or_else(|| Err(fault.clone()));
    answers.into_iter().map(answer).collect()
}

async fn collect(
    connection: &Connection,
    heard: &mut MessageStream,
    calls: &[Message],
    answers: &mut [Option<zbus::Result<Message>>],
) -> zbus::Result<()> {
    let mut open = HashMap::new();
    let mut asked = 0;
    while asked < calls.len() || !open.is_empty() {
        // Not one by one, so that several are written at a time.
        if open.len() <= AT_ONCE / 2 {
            let until = calls.len().min(asked + AT_ONCE - open.len());
            let some = calls.get(asked..until).unwrap_or_default();
            let serials = some.iter().map(|call| call.primary_header().serial_num());
            open.extend(serials.zip(asked..));
            connection.send_all(some).await?;
            asked = until;
        }
        let next = poll_fn(|cx| Pin::new(&mut *heard).poll_next(cx));
        let message = match race(next, ANSWER).await {
            Some(Some(message)) => message?,
            Some(None) => return Err(std::io::Error::from(std::io::ErrorKind::BrokenPipe).into()),
            None => return Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()),
        };
        let answer = match message.message_type() {
            Type::MethodReturn => Ok(message.clone()),
            Type::Error => Err(zbus::Error::from(message.clone())),
            Type::MethodCall | Type::Signal => continue,
        };
        let serial = message.header().reply_serial();
        let at = serial.and_then(|serial| open.remove(&serial));
        if let Some(place) = at.and_then(|at| answers.get_mut(at)) {
            *place = Some(answer);
        }
    }
    Ok(())
}
