"""What steps work with."""

from headrace.frontends.metaflow.authoring.flowspec import Inputs as Inputs
