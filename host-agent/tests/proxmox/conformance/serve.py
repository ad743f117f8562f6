"""fakepve's server, and its faults by command: one JSON object a line on stdin, its answer as a line on stdout.

Usage: serve.py CERTIFICATE KEY TOKEN_ID SECRET

Beside what fakepve models, this adds the configuration of the archive (its own answer to `extractconfig` is a sample
text), because that is read before every restore.
"""

import asyncio
import json
import sys

from fakepve import FakePve

GOLDEN = "vzdump-lxc-9100-2026_11_21-11_14_04.tar.zst"
CONFIG = """arch: amd64
cores: 1
features: nesting=1
hostname: golden
memory: 512
net0: name=eth0,bridge=vmbr0,hwaddr=BC:24:11:AA:BB:CC,ip=dhcp,type=veth
ostype: debian
rootfs: local:9100/vm-9100-disk-0.raw,size=4G
swap: 0
unprivileged: 1
"""


class Pve(FakePve):
    def _routes_archive(self):
        return [("GET", "/nodes/{node}/vzdump/extractconfig", self._extract)]

    async def _extract(self, values, user):
        return CONFIG


class Faults:
    def __init__(self, pve):
        self.pve = pve

    async def flaky(self, drop, hang, hang_s, seed):
        self.pve.flaky_network(drop_rate=drop, hang_rate=hang, hang_secs=hang_s)
        self.pve._random.seed(seed)

    async def offline(self, node, offline):
        self.pve.set_node_offline(node, offline)

    async def scale(self, factor):
        self.pve.time_scale = factor

    async def seconds(self, vmid, start):
        self.pve.ct(vmid).start_secs = start

    async def hold(self, vmid, seconds):
        """From the moment its restore has ended, another one has the guest's lock for so long."""

        async def hold():
            while True:
                guest = self.pve.ct(vmid)
                if guest and guest.lock is None and guest.lock_holder is None:
                    break
                await asyncio.sleep(0.001)
            await self.pve.acquire(guest, "scenario", wait=0)
            await asyncio.sleep(seconds)
            self.pve.release(guest, "scenario")

        self.holding = asyncio.ensure_future(hold())

    async def backup_lock(self, vmid, on):
        if on:
            self.pve.snapshot_lock(vmid, "backup")
        else:
            self.pve.unlock(vmid)

    async def take(self, vmid):
        """Somebody else has this VMID."""
        self.pve.add_ct(vmid, "other", node="pve1")

    async def quorum(self, quorate):
        self.pve.quorate = quorate

    async def fail(self, method, path, status, message, times):
        self.pve.fail(method, path, status, message, times=times)

    async def requests(self):
        seen, self.pve.requests = self.pve.requests, []
        return [[method, path] for method, path, body in seen]

    async def guests(self):
        return [
            {"vmid": one.vmid, "node": one.node, "status": one.status, "config": one.config, "pool": one.pool}
            for one in self.pve.cts
        ]

    async def tasks(self):
        return [[task["type"], task["id"], task.get("exitstatus")] for task in self.pve.tasklog]


async def main():
    certificate, key, token, secret = sys.argv[1:]
    pve = Pve(host="127.0.0.1", port=0)
    pve.time_scale = 0
    pve.add_node("pve2")
    pve.apitokens[token] = secret
    pve.storages["local"].update(content="backup,images,rootdir,vztmpl", shared=1)
    pve.store_file("local", GOLDEN, 298 << 20, content="backup")
    await pve.start(certificate, key)
    faults = Faults(pve)
    print(json.dumps({"port": pve.port}), flush=True)
    reader = asyncio.StreamReader(limit=1 << 24)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    # Its end is ours.
    while line := await reader.readline():
        command = json.loads(line)
        answer = await getattr(faults, command.pop("do"))(**command)
        print(json.dumps({"data": answer}), flush=True)


asyncio.run(main())
