"""fakepve's server, and its faults by command: one JSON object a line on stdin, its answer as a line on stdout.

Usage: serve.py CERTIFICATE KEY TOKEN_ID SECRET

Beside what fakepve models, a test gives it two things: the configuration of the archive, which is read before every
restore (its own answer to `extractconfig` is a sample), and the addresses that a guest shows, for nothing runs in it.
"""

import asyncio
import json
import logging
import sys

from fakepve import FakePve

GOLDEN = "vzdump-lxc-9100-2026_11_21-11_14_04.tar.zst"
CONFIG = """arch: amd64
cores: 1
hostname: golden
memory: 512
net0: name=eth0,bridge=vmbr0,hwaddr=BC:24:11:AA:BB:CC,ip=dhcp,type=veth
ostype: debian
rootfs: local-lvm:vm-9100-disk-0,size=4G
swap: 0
"""


class Pve(FakePve):
    shown = []

    def _routes_archive(self):
        return [("GET", "/nodes/{node}/vzdump/extractconfig", self._extract)]

    async def _extract(self, values, user):
        return CONFIG

    async def _lxc_interfaces(self, user, values):
        listed = await super()._lxc_interfaces(user, values)
        for address in self.shown if listed else ():
            entry = {"ip-address-type": "inet6", "ip-address": address, "prefix": "128"}
            listed[0]["ip-addresses"].append(entry)
        return listed


class Faults:
    def __init__(self, pve):
        self.pve = pve

    async def flaky(self, drop, hang, hang_s, seed):
        self.pve.flaky_network(drop_rate=drop, hang_rate=hang, hang_secs=hang_s)
        self.pve._random.seed(seed)

    async def calm(self):
        self.pve.flaky_network()

    async def slow(self, factor, create, destroy):
        self.pve.time_scale = factor
        self.pve.ct_secs.update(create=create, destroy=destroy)

    async def shows(self, vmid, addresses):
        self.pve.shown = addresses

    async def after_restore(self, vmid, what, seconds):
        """From the moment a restore has ended, for so many seconds."""

        async def play():
            while True:
                guest = self.pve.ct(vmid)
                if guest and guest.lock is None and guest.lock_holder is None:
                    break
                await asyncio.sleep(0.001)
            if what == "lock":
                await self.pve.acquire(guest, "scenario", wait=0)
            elif what == "offline":
                self.pve.set_node_offline(guest.node)
            elif what == "quorum":
                self.pve.lose_quorum()
            await asyncio.sleep(seconds)
            self.pve.release(guest, "scenario")
            self.pve.set_node_offline(guest.node, False)
            self.pve.regain_quorum()

        self.playing = asyncio.ensure_future(play())

    async def guests(self):
        def shown(one):
            return {"vmid": one.vmid, "status": one.status, "config": one.config, "pending": one.pending}

        return [shown(one) for one in self.pve.cts]


async def main():
    # Connections that it cuts on purpose.
    logging.disable(logging.CRITICAL)
    certificate, key, token, secret = sys.argv[1:]
    pve = Pve(host="127.0.0.1", port=0)
    pve.time_scale = 0
    pve.version, pve.release_version = "9.1.1", "9.1"
    pve.add_node("pve2")
    pve.apitokens[token] = secret
    pve.storages["local"].update(content="backup,vztmpl", shared=1)
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
