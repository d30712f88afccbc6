r"""nf_tables over netlink: the only door through which this package's users reach the kernel.

Values are built by pure functions, then applied at once by one socket that is kept open::

    table = Table(Family.IP, "pointsman")
    services = SetSpec("services", (IP_DADDR, L4PROTO, TH_DPORT), VERDICTS)
    codec = ElementCodec(services)
    key = join(services.key, [vip.packed, b"\x06", (80).to_bytes(2, "big")])

    with NetfilterSocket() as netfilter:
        netfilter.commit([
            add_table(table),
            add_set(table, services),
            add_chain(table, "pick-4"),
            add_base_chain(table, "prerouting", "nat", Hook.PREROUTING, -100),
            add_rule(table, "prerouting", rules.verdict_map(services.key, services.name)),
            *add_elements(table, services, codec.verdicts([(key, Verdict(VerdictCode.GOTO, "pick-4"))])),
        ])

============== ======================================================================================
``constants``   the kernel's numbers, and nft's
``attributes``  netlink attributes as bytes
``selectors``   what rules look at and sets are made of: ``ip daddr``, ``th dport``, ``meta mark`` …
``expressions`` the kernel's rule instructions, one function each
``rules``       nft's statements and matches, as expressions with nft's registers
``sets``        declarations of sets and maps
``elements``    packing and parsing their elements
``messages``    requests as values: :class:`~.messages.Operation`
``framing``     messages and transactions as bytes
``netfilter``   :class:`~.netfilter.NetfilterSocket`: commit, dump, get, generation
``monitor``     :class:`~.monitor.Monitor`: who changes what
``objects``     what dumps return
``compare``     is a dumped rule or set the one we would write?
``errors``      what they raise
============== ======================================================================================

Why not pyroute2, which has an nf_tables module: measured with 0.9.7 on CPython 3.11 (2 virtual CPUs,
busy; ratios matter), importing ``pyroute2.netlink.nfnetlink.nftsocket`` takes 0.24 to 0.30 s and 24 MB
(this package: 0.07 s, 10 MB), a map element 57 to 84 µs to encode (0.17 to 0.25 µs), a rule 370 µs
(11 µs). Its constants lack the attribute numbers, which exist only as positions in its message classes;
its ``NFTables`` has no concatenated keys, sends a transaction per call and reads only the first part of
a dump of elements. Hence our own numbers, 400 lines of them, and bytes.

Figures, same machine, Linux 6.18, 120,000 elements ``ip daddr . meta l4proto . th dport . index``: packing
0.17 to 0.25 µs an element, cutting into messages and joining 0.1, the kernel 1.6 to 3.0; the whole
transaction 0.24 to 0.4 s. Replacing one element in it: 24 to 44 µs. Asking for the generation: 9 to 16 µs.
Reading one element: 10 to 17 µs. Dumping all: 0.7 to 1.0 s, most of it the kernel walking the set from its
start for every 32 KB. A listener anywhere in the namespace makes the load slower, see ``monitor``.
"""
