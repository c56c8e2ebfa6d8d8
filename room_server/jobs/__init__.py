"""Work on whole webinars: evaluation, retention, erasure of a lead, the attendance report."""
