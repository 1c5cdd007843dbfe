//! What producers and consumers promise, over a backend of vectors.

mod consuming;
mod limits;
mod positions;
mod producing;
mod send_batch;
mod tables;
mod waiting;

use crate::base::TopicPartition;

use super::records::Records;

fn tp(topic: &str, partition: u32) -> TopicPartition {
    TopicPartition::new(topic, partition)
}

fn values(records: &Records) -> Vec<&str> {
    records.iter().map(|record| record.value_str().unwrap()).collect()
}

#[test]
fn clients_cross_threads_as_promised() {
    use crate::client::*;
    fn send<T: Send>() {}
    fn shared<T: Send + Sync>() {}
    fn owned<T: Send + Sync + 'static>() {}
    shared::<Producer>();
    shared::<Topic>();
    shared::<Delivery<'_>>();
    shared::<BatchDelivery<'_>>();
    owned::<OwnedDelivery>();
    owned::<Records>();
    owned::<OwnedRecord>();
    owned::<WakeupHandle>();
    shared::<ConsumerRecord<'_>>();
    send::<Consumer>();
}
