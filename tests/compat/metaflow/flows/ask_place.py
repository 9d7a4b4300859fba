"""Not a flow: whether the runs of ``linear.py`` are seen in each of some folders, after where the settings say."""

import os
import sys

from metaflow import Flow, metadata, namespace

namespace(None)
for folder in ("", *sys.argv[1:]):
    try:
        if folder:
            metadata(f"local@{os.path.join(os.getcwd(), folder)}")
        print(folder, Flow("Linear").latest_run.successful)
    except Exception as error:
        print(folder, type(error).__name__)
