"""LG's PCC: the protocol, and one client for each account.

Owns: what LG's answers mean (``codes``, ``protocol``, ``doubt``, ``dates``), one call on the wire (``transport``,
``message_ids``, ``pool``, ``names``, ``proxies``, ``reading``), credentials (``credential_store``, ``credentials``,
``secret_files``, ``checks``, ``regions``), tokens (``auth``), the quota (``quota``), and the calls as verbs
(``client``, ``clients``). The only package that uses httpx.
Must not: know what is desired, or decide what to change.
"""
