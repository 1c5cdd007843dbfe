//! A transactional producer on a thread of its own, which does one thing at a time when it is
//! asked: so transactions of several producers are open at once, and end in any order.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use alluvium::{
    Error, EventLog, GroupMetadata, Offsets, Outcome, Placed, Record, Transaction,
    TransactionalProducer,
};

use crate::model::Draft;

/// What it is asked.
pub enum Ask {
    Begin,
    Send(Draft),
    Offsets(Offsets, GroupMetadata),
    Commit,
    Abort,
    Drop,
}

/// What it answers.
#[derive(Debug)]
pub enum Said {
    Done,
    Placed(Placed),
    Failed(Error),
    NotCommitted(Outcome, Error),
}

/// The handle of such a thread.
pub struct Actor {
    asks: Option<Sender<Ask>>,
    answers: Receiver<Said>,
    thread: Option<JoinHandle<()>>,
    /// The model's number of what it has open.
    pub open: Option<u64>,
}

impl Actor {
    pub fn new(log: &EventLog, id: &str) -> Result<Self, Error> {
        let timeout = std::time::Duration::from_millis(crate::model::TIMEOUT as u64);
        let producer = log.transactional_producer(id).timeout(timeout).build()?;
        let (asks, asked) = channel();
        let (answer, answers) = channel();
        let thread = std::thread::spawn(move || serve(producer, &asked, &answer));
        Ok(Self { asks: Some(asks), answers, thread: Some(thread), open: None })
    }

    pub fn ask(&self, ask: Ask) -> Said {
        self.asks.as_ref().unwrap().send(ask).unwrap();
        self.answers.recv().unwrap()
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        self.asks = None;
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || std::thread::panicking(), "a producer has panicked");
    }
}

fn serve(mut producer: TransactionalProducer, asked: &Receiver<Ask>, answer: &Sender<Said>) {
    while let Ok(ask) = asked.recv() {
        assert!(matches!(ask, Ask::Begin), "nothing is open");
        match producer.begin() {
            Ok(transaction) => {
                answer.send(Said::Done).unwrap();
                if !within(transaction, asked, answer) {
                    return;
                }
            }
            Err(error) => answer.send(Said::Failed(error)).unwrap(),
        }
    }
}

/// Serves until the transaction is over. Whether anybody is still there.
fn within(transaction: Transaction<'_>, asked: &Receiver<Ask>, answer: &Sender<Said>) -> bool {
    loop {
        let Ok(ask) = asked.recv() else { return false };
        let said = match ask {
            Ask::Begin => panic!("one is open"),
            Ask::Send(draft) => {
                let headers = draft.headers();
                let headers = [("n", Some(&headers[..]))];
                match transaction.send(draft.record(&headers)) {
                    Ok(placed) => Said::Placed(placed),
                    Err(error) => Said::Failed(error),
                }
            }
            Ask::Offsets(offsets, group) => match transaction.send_offsets(&offsets, &group) {
                Ok(()) => Said::Done,
                Err(error) => Said::Failed(error),
            },
            Ask::Commit => {
                let said = match transaction.commit() {
                    Ok(()) => Said::Done,
                    Err(error) => Said::NotCommitted(error.outcome, error.error),
                };
                answer.send(said).unwrap();
                return true;
            }
            Ask::Abort => {
                let said = transaction.abort().map_or_else(Said::Failed, |()| Said::Done);
                answer.send(said).unwrap();
                return true;
            }
            Ask::Drop => {
                drop(transaction);
                answer.send(Said::Done).unwrap();
                return true;
            }
        };
        answer.send(said).unwrap();
    }
}

impl Draft {
    pub fn record<'a>(&'a self, headers: &'a [alluvium::Header<'a>]) -> Record<'a> {
        let record = match &self.rec.value {
            Some(value) => Record::new(&self.topic, value),
            None => Record::null(&self.topic),
        };
        let record = match &self.rec.key {
            Some(key) => record.key(key),
            None => record,
        };
        let record = match self.partition {
            Some(partition) => record.partition(partition),
            None => record,
        };
        record.timestamp_ms(self.rec.time).headers(headers)
    }

    pub fn headers(&self) -> [u8; 8] {
        self.rec.id.to_le_bytes()
    }
}
