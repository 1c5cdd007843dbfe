//! Topics that go in the middle of transactions.

use alluvium::NewTopic;

use super::bed::{on_each_kind, to, tp};

#[test]
fn b51_a_topic_that_is_deleted_in_the_middle_wedges_nothing() {
    on_each_kind(|bed| {
        for (round, commits) in [true, false, true].into_iter().enumerate() {
            bed.log.create_topic(NewTopic::new("gone")).unwrap();
            let mut producer = bed.transactional("t");
            let consumer = bed.member("g").build().unwrap();
            let transaction = producer.begin().unwrap();
            transaction.send(to("gone", 0, "v")).unwrap();
            transaction.send(to("a", 0, &round.to_string())).unwrap();
            let offsets = [(tp("gone", 0), 1), (tp("b", 0), round as u64)].into_iter().collect();
            transaction.send_offsets(&offsets, &consumer.group_metadata()).unwrap();
            bed.log.admin().delete_topic("gone").unwrap();
            if commits {
                transaction.commit().unwrap()
            } else {
                transaction.abort().unwrap()
            }
            let next = producer.begin().unwrap();
            next.send(to("b", 0, "next")).unwrap();
            next.commit().unwrap();
        }
        assert_eq!(bed.committed("a", 0), ["0", "2"]);
        assert_eq!(bed.offset_of("g", "b", 0), Some(2));
        bed.log.create_topic(NewTopic::new("gone")).unwrap();
        assert_eq!(bed.offset_of("g", "gone", 0), None, "another topic of that name");
        let bed = bed.reopen();
        assert_eq!(bed.committed("a", 0), ["0", "2"]);
        assert_eq!(bed.committed("b", 0), ["next"; 3]);
    });
}
