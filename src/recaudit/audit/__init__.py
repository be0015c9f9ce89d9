"""One setting, one result: victims, attacks, floors and ceilings, and their figures."""

from recaudit.audit.run import AuditResult, run_audit
from recaudit.audit.spec import AuditSpec

__all__ = ["AuditResult", "AuditSpec", "run_audit"]
