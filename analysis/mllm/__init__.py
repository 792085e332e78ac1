"""The multimodal model that looks at frames: what it is asked, how it answers, how answers become a report."""
