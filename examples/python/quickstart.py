"""Records, objects, and shows that the "no" holds.

    cargo run -p refrain-mock -- serve          # in another terminal
    pip install sdk-ffi/python
    python examples/python/quickstart.py [http://127.0.0.1:8787]
"""

import sys
import tempfile

import refrain

endpoint = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8787"

with tempfile.TemporaryDirectory() as folder:
    with refrain.Client("demo-token", endpoint=endpoint, data_dir=folder) as client:
        # Nobody has decided yet: the call waits in memory, and nothing is stored or sent.
        print("before a decision: ", client.track("Opened the shop").status)

        client.opt_in()
        client.identify("ada")
        client.register({"plan": "pro"})
        print("after a yes:       ", client.track("Bought", {"item": "umbrella", "price": 12.5}).status)
        if not client.flush():
            sys.exit(f"nothing arrived at {endpoint}: is the mock server running?")
        print("delivered:         ", client.stats().delivered, "records")

        client.opt_out()
        refused = client.track("Bought", {"item": "hat"})
        print("after a no:        ", refused.status, "-", refused.hint)

    # The next start remembers, and only the choice is left in the folder.
    with refrain.Client("demo-token", endpoint=endpoint, data_dir=folder) as client:
        print("the next start:    ", client.consent().sentence)
        print("left in the folder:", ", ".join(f"{file.name} ({file.kind})" for file in client.audit().files))
