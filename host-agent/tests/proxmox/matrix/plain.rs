//! Nothing goes wrong: which requests a bring-up makes.

use std::time::Duration;

use firstlight_tests::simpve::guest::Kind;

use crate::field::{Cluster, spec};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bring_up_of_each_kind_ends_well() {
    for kind in [Kind::Lxc, Kind::Qemu] {
        let cluster = Cluster::start();
        let companion = cluster.companion().await;
        let began = std::time::Instant::now();
        let job = companion.up(&spec(kind)).await;
        let ended = companion.ended(&job, Duration::from_secs(60)).await;
        println!("{:?} {:?}", began.elapsed(), ended.state());
        for one in cluster.sim.requests() {
            println!(
                "{} {} {:?} {:?}",
                one.method.as_str(),
                one.path,
                one.parameters.iter().collect::<Vec<_>>(),
                one.status
            );
        }
        println!("{:#}", cluster.sim.inventory());
        assert_eq!(ended.state(), "done", "{ended:#?}\n{}", companion.log());
        assert_eq!(cluster.guests().len(), 1);
    }
}
