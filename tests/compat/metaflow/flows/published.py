"""Events for Argo, where there is no Argo; files that are included."""

from metaflow import FlowSpec, IncludeFile, catch, step


class Published(FlowSpec):
    words = IncludeFile("words", default="words.txt")
    data = IncludeFile("data", default="data.bin", is_text=False)

    @step
    def start(self):
        from metaflow.integrations import ArgoEvent

        event = ArgoEvent("done", payload={"a": 1})
        event.add_to_payload("key", 5)
        self.answers = [event.publish(), event.publish(force=False), event.safe_publish({"b": 2})]
        self.answers.append(event.publish(payload={"no json": object()}))
        self.problems = []
        for force in (True, False):
            try:
                event.publish(force=force, ignore_errors=False)
            except Exception as error:
                self.problems.append((type(error).__name__, str(error)))
        self.next(self.end)

    @catch(var="problem", print_exception=False)
    @step
    def end(self):
        from metaflow.plugins.argo.argo_events import ArgoEvent

        ArgoEvent("late").safe_publish(ignore_errors=False)


if __name__ == "__main__":
    Published()
