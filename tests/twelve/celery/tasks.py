import os

from celery import Celery

FOLDERS = {"data_folder_in": "queue", "data_folder_out": "queue", "control_folder": "control"}
for folder in FOLDERS.values():
    os.makedirs(folder, exist_ok=True)
app = Celery("tasks", broker="filesystem://", broker_transport_options=FOLDERS)


@app.task
def add(x, y):
    with open("results", "a", encoding="utf-8") as results:
        results.write("%d\n" % (x + y))
