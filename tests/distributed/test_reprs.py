"""How clients and clusters look in a notebook and in text."""

from html.parser import HTMLParser

import pytest

from oxidask.distributed import Client, LocalCluster

#: Elements without an end.
VOID = {"br", "img", "hr"}


class Checked(HTMLParser):
    """Checks that each element ends, and collects text and links."""

    def __init__(self, html):
        super().__init__()
        self.open, self.text, self.links = [], "", []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)
        self.links += [value for name, value in attrs if name == "href"]
        assert tag not in ("script", "style", "link", "iframe")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data + " "


def test_a_client_and_its_cluster_show_what_there_is(cluster, client):
    for shown in (client, cluster):
        seen = Checked(shown._repr_html_())
        assert seen.links == [cluster.dashboard_link]
        assert cluster.scheduler_address in seen.text
        assert "Workers 2 Threads 2" in seen.text
        # The token is in the link, not in what is read.
        assert "token" not in seen.text
    assert type(cluster).__name__ in Checked(cluster._repr_html_()).text
    assert "token" not in repr(cluster)
    assert cluster.scheduler_address in repr(cluster)


def test_what_is_closed_says_so():
    cluster = LocalCluster(n_workers=1, processes=False, dashboard_address=None)
    client = Client(cluster)
    assert Checked(client._repr_html_()).links == []
    client.close()
    cluster.close()
    for shown in (client, cluster):
        assert "closed" in Checked(shown._repr_html_()).text
        assert "closed" in repr(shown)


@pytest.mark.parametrize("count", [25])
def test_many_workers_are_counted(count):
    with (
        LocalCluster(
            n_workers=count, threads_per_worker=1, processes=False, dashboard_address=None
        ) as cluster,
        Client(cluster) as client,
    ):
        assert "and 5 more" in Checked(client._repr_html_()).text
