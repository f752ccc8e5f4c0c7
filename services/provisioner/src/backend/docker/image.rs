//! Images: looked for on the engine, pulled only if they are not there.

use std::collections::HashMap;
use std::time::Duration;

use bollard::models::CreateImageInfo;
use bollard::query_parameters::CreateImageOptionsBuilder;
use futures::StreamExt as _;
use tokio::time::Instant;

use super::engine::{Engine, Failure, LOOK};
use super::settings::DockerSettings;
use super::user::User;
use crate::backend::{BackendError, Progress};

/// Between two words of progress.
const TELL_EVERY: Duration = Duration::from_secs(2);

/// Makes sure that the image is on the engine; who it runs as.
///
/// # Errors
/// [`BackendError`], naming the image and the fix.
pub(super) async fn present(
    engine: &Engine,
    settings: &DockerSettings,
    image: &str,
    progress: Option<&dyn Progress>,
) -> Result<User, BackendError> {
    if let Some(user) = user_of(engine, image).await? {
        return Ok(user);
    }
    pull(engine, settings, image, progress).await?;
    user_of(engine, image).await?.ok_or_else(|| {
        BackendError::Unavailable(format!("image {image} was pulled and is not there"))
    })
}

/// Who the image runs as, if it is there.
async fn user_of(engine: &Engine, image: &str) -> Result<Option<User>, BackendError> {
    let looked = engine
        .call(
            LOOK,
            |docker| async move { docker.inspect_image(image).await },
        )
        .await;
    match looked {
        Ok(found) => {
            let config = found.config.unwrap_or_default();
            Ok(Some(User::of(&config.user.unwrap_or_default())))
        }
        Err(failure) if failure.is_not_found() => Ok(None),
        Err(Failure::Answered(400, text)) => Err(BackendError::Refused(format!(
            "{image:?} is no image: {text}"
        ))),
        Err(failure) => Err(failure.unavailable(&format!("looking for image {image}"))),
    }
}

async fn pull(
    engine: &Engine,
    settings: &DockerSettings,
    image: &str,
    progress: Option<&dyn Progress>,
) -> Result<(), BackendError> {
    let within = settings.pull_deadline;
    let connection = engine
        .connection()
        .await
        .map_err(|failure| failure.unavailable("pulling"))?;
    let mut options = CreateImageOptionsBuilder::new().from_image(&with_tag(image));
    if let Some(platform) = &settings.image_platform {
        options = options.platform(platform);
    }
    tell(progress, format_args!("pulling image {image}"));
    let mut answers = connection
        .docker
        .create_image(Some(options.build()), None, None);
    let mut layers = Layers::default();
    let all = async {
        while let Some(answer) = answers.next().await {
            if let Some(line) = layers.heard(answer?) {
                tell(progress, format_args!("pulling image {image}: {line}"));
            }
        }
        Ok(())
    };
    let pulled = tokio::time::timeout(within, all).await;
    engine
        .judge(within, pulled)
        .map_err(|failure| not_pulled(failure, image))
}

/// A name without a tag or digest would pull every tag that there is.
fn with_tag(image: &str) -> String {
    let name = image.rsplit('/').next().unwrap_or(image);
    if name.contains([':', '@']) {
        image.to_owned()
    } else {
        format!("{image}:latest")
    }
}

fn not_pulled(failure: Failure, image: &str) -> BackendError {
    let fix = format!(
        "bring it to the engine (docker pull {image}, docker load), or name another image for the runtime in --images (CANDOR_IMAGES)"
    );
    match failure {
        // It does not exist, or not for us: trying again changes nothing.
        Failure::Answered(400..=404, text) => BackendError::Refused(format!(
            "image {image} is not there and cannot be pulled: {text}; {fix}"
        )),
        Failure::Answered(_, text) | Failure::Silent(text) => BackendError::Unavailable(format!(
            "image {image} is not there and was not pulled: {text}; {fix}"
        )),
    }
}

fn tell(progress: Option<&dyn Progress>, what: std::fmt::Arguments<'_>) {
    if let Some(progress) = progress {
        progress.told(what);
    }
}

/// How far a pull is.
#[derive(Default)]
struct Layers {
    /// Bytes here and bytes in all, by layer.
    seen: HashMap<String, (i64, i64)>,
    told: Option<Instant>,
}

impl Layers {
    /// Takes in one line of the engine; sometimes a line for people comes out.
    fn heard(&mut self, info: CreateImageInfo) -> Option<String> {
        let id = info.id?;
        let layer = self.seen.entry(id).or_default();
        if let Some(detail) = info.progress_detail
            && let (Some(here), Some(all)) = (detail.current, detail.total)
        {
            *layer = (here, all.max(here));
        }
        if matches!(
            info.status.as_deref(),
            Some("Pull complete" | "Already exists")
        ) {
            *layer = (layer.1, layer.1);
        }
        let now = Instant::now();
        if self.told.is_some_and(|told| now - told < TELL_EVERY) {
            return None;
        }
        self.told = Some(now);
        let (here, all) = self
            .seen
            .values()
            .fold((0, 0), |(here, all), layer| (here + layer.0, all + layer.1));
        let mib = |bytes: i64| bytes / (1024 * 1024);
        Some(format!("{} of {} MiB known so far", mib(here), mib(all)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn a_name_without_a_tag_means_the_latest_one() {
        for (image, pulled) in [
            ("agent", "agent:latest"),
            ("localhost:5000/agent", "localhost:5000/agent:latest"),
            ("ghcr.io/a/b:1.2", "ghcr.io/a/b:1.2"),
            ("agent@sha256:00", "agent@sha256:00"),
        ] {
            assert_eq!(with_tag(image), pulled);
        }
    }

    #[test]
    fn what_is_refused_for_good_and_what_may_pass_both_name_image_and_fix() {
        let denied = Failure::Answered(404, "pull access denied".into());
        let away = Failure::Answered(500, "no such host".into());
        assert!(matches!(
            not_pulled(denied, "a:1"),
            BackendError::Refused(text) if text.contains("a:1") && text.contains("docker pull a:1")
        ));
        assert!(matches!(
            not_pulled(away, "a:1"),
            BackendError::Unavailable(text) if text.contains("a:1") && text.contains("--images (CANDOR_IMAGES)")
        ));
    }
}
