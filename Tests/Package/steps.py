"""What an operator does with the package, from installation to purge. Steps run in this order on one machine; each goes
on from where the one before it left the service.
"""

from marks import STEPS, step  # noqa: F401

import installing  # noqa: E402,F401
import operating  # noqa: E402,F401
import journalling  # noqa: E402,F401
import tracing  # noqa: E402,F401
import reloading  # noqa: E402,F401
import dying  # noqa: E402,F401
import surviving  # noqa: E402,F401
import leaving  # noqa: E402,F401
